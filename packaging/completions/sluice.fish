# fish completion for sluice
set -l commands files run check fmt explain status reload stop version help
set -l none "not __fish_seen_subcommand_from $commands"
set -l serving "__fish_seen_subcommand_from files run"
set -l configured "__fish_seen_subcommand_from run check fmt explain status reload stop"

complete -c sluice -f
complete -c sluice -n $none -a files -d "Serve a folder over HTTP"
complete -c sluice -n $none -a run -d "Serve what a configuration file says"
complete -c sluice -n $none -a check -d "Validate a configuration file"
complete -c sluice -n $none -a fmt -d "Format a configuration file"
complete -c sluice -n $none -a explain -d "Say what would answer a URL, and why"
complete -c sluice -n $none -a status -d "Show what the running server knows of itself"
complete -c sluice -n $none -a reload -d "Make the running server take its configuration anew"
complete -c sluice -n $none -a stop -d "Let the running server finish its requests and end"
complete -c sluice -n $none -a version -d "Show the version, its features and its engine"
complete -c sluice -n $none -a help -d "Show help"

complete -c sluice -n $serving -l listen -x -d "Where to listen (:8080, 127.0.0.1:80, unix:PATH)"
complete -c sluice -n $serving -l workers -x -d "Number of worker threads"
complete -c sluice -n $serving -l engine -x -a "auto io_uring epoll poll select" -d "How to wait for the kernel"
complete -c sluice -n $serving -l log -x -a "common combined json off" -d "Format of the access log"
complete -c sluice -n $configured -s c -r -F -d "Configuration file"
complete -c sluice -n "__fish_seen_subcommand_from files" -a "(__fish_complete_directories)"
complete -c sluice -n "__fish_seen_subcommand_from help" -a "config files run check fmt explain status reload stop version"
