# bash completion for sluice
_sluice()
{
	local cur prev command words cword
	_init_completion -n : 2>/dev/null || {
		cur=${COMP_WORDS[COMP_CWORD]}
		prev=${COMP_WORDS[COMP_CWORD - 1]}
		words=("${COMP_WORDS[@]}")
		cword=$COMP_CWORD
	}
	COMPREPLY=()
	command=${words[1]:-}

	if [ "$cword" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "files proxy tcp udp run check fmt explain status \
			reload stop drain server version help --help --version" -- "$cur")
		return
	fi
	case $prev in
	-c | --config)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--engine)
		mapfile -t COMPREPLY < <(compgen -W "auto io_uring epoll poll select" -- "$cur")
		return
		;;
	--log)
		mapfile -t COMPREPLY < <(compgen -W "common combined json off" -- "$cur")
		return
		;;
	--log-level)
		mapfile -t COMPREPLY < <(compgen -W "debug info warn error off" -- "$cur")
		return
		;;
	--balance)
		mapfile -t COMPREPLY < <(compgen -W "round_robin weighted random p2c least_conn ip_hash \
			consistent" -- "$cur")
		return
		;;
	--send-proxy)
		mapfile -t COMPREPLY < <(compgen -W "v1 v2" -- "$cur")
		return
		;;
	--listen | --workers | --admin | --to | --host | --group)
		return
		;;
	esac
	local serving="--listen --workers --engine --log --log-level --help"
	case $command in
	files)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$serving" -- "$cur")
		else
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		fi
		;;
	proxy)
		mapfile -t COMPREPLY < <(compgen -W "--to --balance --health --host --admin $serving" -- "$cur")
		;;
	tcp)
		mapfile -t COMPREPLY < <(compgen -W "--to --balance --health --send-proxy --admin $serving" -- "$cur")
		;;
	udp)
		mapfile -t COMPREPLY < <(compgen -W "--to --balance --admin $serving" -- "$cur")
		;;
	drain)
		mapfile -t COMPREPLY < <(compgen -W "-c --config --admin --group --undrain --help" -- "$cur")
		;;
	server)
		if [ "$cword" -eq 2 ]; then
			mapfile -t COMPREPLY < <(compgen -W "add remove weight --help" -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -W "-c --config --admin --group --help" -- "$cur")
		fi
		;;
	run)
		mapfile -t COMPREPLY < <(compgen -W "-c --config $serving" -- "$cur")
		;;
	check | explain)
		mapfile -t COMPREPLY < <(compgen -W "-c --config --help" -- "$cur")
		;;
	fmt)
		mapfile -t COMPREPLY < <(compgen -W "-c --config --write --help" -- "$cur")
		;;
	status)
		mapfile -t COMPREPLY < <(compgen -W "-c --config --admin --json --prometheus --help" -- "$cur")
		;;
	reload | stop)
		mapfile -t COMPREPLY < <(compgen -W "-c --config --admin --help" -- "$cur")
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W "config files proxy tcp udp run check fmt explain \
			status reload stop drain server version help --markdown" -- "$cur")
		;;
	esac
}
complete -F _sluice sluice
