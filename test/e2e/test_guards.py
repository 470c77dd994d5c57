# SPDX-License-Identifier: Apache-2.0
"""Lists that change under way, and what routes do under load."""
import json

import pytest

from client import connect, get, read_one
from running import admin, place, serve  # noqa: F401 (a fixture)
from server import wait_for
from upstream import Upstream, answers, response


@pytest.fixture(params=["io_uring", "epoll"])
def engine(request):
    return request.param


def config(place, routes, top=""):  # noqa: F811
    return f"""workers = 2;
admin {{ listen = "unix:{place.admin}"; }}
{top}
site "*" {{ listen = "127.0.0.1:0"; {routes} }}
"""


def level(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)["load"]["level"]


# Access lists.

def test_a_list_that_becomes_wrong_stays_as_it_was(sluice_bin, place, engine):
    listed = place.path / "listed"
    listed.write_text("127.0.0.1\n")
    text = config(place, 'route "/" { respond = "x"; access = "l"; }', f'access "l" {{ allow_file = "{listed}"; }}')
    with serve(sluice_bin, text, engine) as s:
        assert get(s.port).status == 200
        listed.write_text("10.0.0.0/8\nnonsense\n")
        s.wait_log("(warn|error) .*listed:2")
        assert get(s.port).status == 200
        listed.unlink()
        s.wait_log("(warn|error) .*listed: ?(?!2)")
        assert get(s.port).status == 200
        listed.write_text("10.0.0.0/8\n")
        wait_for(lambda: get(s.port).status == 403, "the list")


def test_the_longest_prefix_decides(sluice_bin, place):
    (place.path / "few").write_text("".join(f"10.{a}.{b}.0/24\n" for a in range(100) for b in range(100)) + "127.0.0.0/8\n")
    top = (f'access "l" {{ deny_file = "{place.path}/few"; allow = ["127.0.0.0/16", "::1", "10.0.0.0/8"]; '
           'deny = "127.0.0.1/32"; }\ntrusted_proxies = ["127.0.0.1"];')
    with serve(sluice_bin, config(place, 'route "/" { respond = "x"; access = "l"; }', top)) as s:
        for address, status in (("127.0.0.1", 403), ("127.0.0.2", 200), ("127.1.0.1", 403), ("10.5.5.5", 403),
                                ("10.200.1.1", 200), ("192.0.2.1", 403), ("::1", 200), ("::2", 403)):
            assert get(s.port, fields=f"X-Forwarded-For: {address}\r\n").status == status, address


def test_a_connection_that_is_open_is_judged_anew(sluice_bin, place, engine):
    listed = place.path / "listed"
    listed.write_text("127.0.0.1\n")
    text = config(place, 'route "/" { respond = "x"; access = "l"; }', f'access "l" {{ allow_file = "{listed}"; }}')
    with serve(sluice_bin, text, engine) as s, connect(s.port) as c:
        def asked():
            c.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return read_one(c)[0].status
        assert asked() == 200
        listed.write_text("10.0.0.0/8\n")
        wait_for(lambda: asked() == 403, "the list")


# Load.

LOAD = 'load { errors { degraded = "10%"; critical = "90%"; } hold = 1h; refuse_below { degraded = 2; critical = 5; } }'


def test_routes_do_less_under_load(sluice_bin, place, engine):
    bad = answers(response(b"bad", "500 Internal Server Error"))
    with Upstream(bad) as failing, Upstream(answers(response(b"full"))) as u, Upstream(answers(response(b"spare"))) as spare:
        routes = f"""
        route "/bad" {{ proxy = "{failing.address}"; priority = 7; }}
        route "/full" {{ proxy = "{u.address}"; priority = 7; }}
        route "/falls" {{ proxy {{ to = "{u.address}"; fallback = "{spare.address}"; }} priority = 7;
            when_degraded = fallback; when_critical = refuse; }}
        route "/fixed" {{ proxy {{ to = "{u.address}"; fallback {{ body = "fixed"; status = 200; }} }} priority = 7;
            when_degraded = fallback; when_critical = fallback; }}
        route "/low" {{ proxy = "{u.address}"; priority = 1; }}
        route "/middle" {{ proxy = "{u.address}"; priority = 4; }}
        """

        def told():
            return {path: (answer.status, answer.body if answer.status == 200 else b"") for path, answer in (
                (path, get(s.port, path)) for path in ("/full", "/falls", "/fixed", "/low", "/middle"))}

        with serve(sluice_bin, config(place, routes, LOAD), engine) as s:
            assert level(place) == "normal"
            normal = (200, b"full")
            assert told() == {"/full": normal, "/falls": normal, "/fixed": normal, "/low": normal, "/middle": normal}
            for _ in range(20):
                assert get(s.port, "/bad").status == 500
            s.wait_log("warn .*load is degraded")
            assert told() == {"/full": normal, "/falls": (200, b"spare"), "/fixed": (200, b"fixed"), "/low": (503, b""),
                              "/middle": normal}
            before = u.count()
            for _ in range(600):
                get(s.port, "/bad")
            s.wait_log("warn .*load is critical")
            assert told() == {"/full": normal, "/falls": (503, b""), "/fixed": (200, b"fixed"), "/low": (503, b""),
                              "/middle": (503, b"")}
            assert get(s.port, "/low").get("retry-after")
            assert u.count() == before + 1
            # It lasts for `hold`: errors that end do not end it at once.
            assert level(place) == "critical"


def test_a_priority_is_believed_of_trusted_proxies_alone(sluice_bin, place):
    routes = ('route "/bad" { respond { status = 500; } priority = 7; }\n'
              'route "/" { respond = "x"; priority = 1; priority_header = "X-Priority"; }')
    for top, status in (("", 503), ('trusted_proxies = ["127.0.0.1"];', 200)):
        with serve(sluice_bin, config(place, routes, LOAD + top)) as s:
            assert get(s.port).status == 200
            for _ in range(40):
                get(s.port, "/bad")
            s.wait_log("warn .*load is (degraded|critical)")
            assert get(s.port, fields="X-Priority: 7\r\n").status == status
            assert get(s.port).status == 503
            assert get(s.port, fields="X-Priority: 9999999999\r\n").status == 503
            assert get(s.port, fields="X-Priority: -1\r\n").status == 503
