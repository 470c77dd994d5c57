# SPDX-License-Identifier: Apache-2.0
"""Datagrams that are relayed to groups of servers: what arrives, from whom, and who takes over."""
import contextlib
import json
import select
import socket

import pytest

from running import admin, place, serve  # noqa: F401 (a fixture)
from server import ENGINES, PATIENCE_S, wait_for

UDP_SEGMENT = 103
LARGEST = 65507


@contextlib.contextmanager
def datagram_socket(address="127.0.0.1", port=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, port))
        s.settimeout(PATIENCE_S)
        yield s


def text_of(place, servers, more=""):  # noqa: F811
    names = json.dumps(["127.0.0.1:%d" % s.getsockname()[1] for s in servers])
    return (f'workers = 1; drain_timeout = 1s; admin {{ listen = "unix:{place.admin}"; }}\n{more}\n'
            f'udp "u" {{ listen = "127.0.0.1:0"; proxy = {names}; %s }}')


def relay(place):  # noqa: F811
    done, text = admin(place, "status json")
    assert done
    return json.loads(text)["relays"][0]


def pattern(length):
    return bytes((i * 7 + i // 251) & 255 for i in range(length))


def heard(socks):
    """(socket, bytes, from) of the next datagram at any of them."""
    ready, _, _ = select.select(socks, [], [], PATIENCE_S)
    assert ready, "nothing came"
    return (ready[0], *ready[0].recvfrom(65536))


@pytest.mark.parametrize("engine", ENGINES)
def test_datagrams_stay_what_they_are(sluice_bin, place, engine):  # noqa: F811
    with datagram_socket() as behind, datagram_socket() as client, \
            serve(sluice_bin, text_of(place, [behind]) % "", engine) as s:
        to = ("127.0.0.1", s.port)
        for size in (0, 1, 1472, 1473, LARGEST):
            client.sendto(pattern(size), to)
            _, got, peer = heard([behind])
            assert got == pattern(size)
            behind.sendto(pattern(size), peer)
            _, got, answerer = heard([client])
            assert got == pattern(size) and answerer == to
        for i in range(100):
            client.sendto(b"%d" % i, to)
        assert [int(heard([behind])[1]) for _ in range(100)] == list(range(100))
        # Many in one call, which the kernel carries as one packet.
        cut = [(socket.IPPROTO_UDP, UDP_SEGMENT, (1000).to_bytes(2, "little"))]
        try:
            client.sendmsg([pattern(10500)], cut, 0, to)
        except OSError as why:
            pytest.skip(f"no UDP_SEGMENT: {why}")
        parts = [heard([behind])[1] for _ in range(11)]
        assert [len(part) for part in parts] == [1000] * 10 + [500]
        assert b"".join(parts) == pattern(10500)
        assert relay(place)["dropped"] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_another_server_takes_over(sluice_bin, place, engine):  # noqa: F811
    with datagram_socket() as one, datagram_socket() as two, datagram_socket() as client, \
            serve(sluice_bin, text_of(place, [one, two]) % "", engine) as s:
        to = ("127.0.0.1", s.port)
        client.sendto(b"first", to)
        at, _, _ = heard([one, two])
        other = two if at is one else one
        at.close()
        # This one is lost; that the server is gone is heard of because of it.
        client.sendto(b"lost", to)
        wait_for(lambda: relay(place)["failed"] == 1, "the refusal")
        client.sendto(b"second", to)
        _, got, peer = heard([other])
        assert got == b"second"
        other.sendto(b"answer", peer)
        assert heard([client])[1] == b"answer"
        assert relay(place)["connections"] == 1


def test_the_table_is_bounded_and_sessions_end(sluice_bin, place):  # noqa: F811
    with datagram_socket() as behind, contextlib.ExitStack() as stack:
        s = stack.enter_context(serve(sluice_bin, text_of(place, [behind]) % "max_sessions = 2; idle = 1s;"))
        clients = [stack.enter_context(datagram_socket()) for _ in range(3)]
        to = ("127.0.0.1", s.port)
        for client in clients:
            client.sendto(b"x", to)
            wait_for(lambda: relay(place)["datagrams_in"] == clients.index(client) + 1, "the datagram")
        state = relay(place)
        assert (state["connections"], state["refused"], state["dropped"]) == (2, 1, 1)
        s.wait_log(r'udp "u": 2 sessions, no more are begun')
        wait_for(lambda: relay(place)["active"] == 0, "the end of the sessions")
        clients[2].sendto(b"y", to)
        assert [heard([behind])[1] for _ in range(3)] == [b"x", b"x", b"y"]


def test_a_session_ends_with_its_answer(sluice_bin, place):  # noqa: F811
    with datagram_socket() as behind, datagram_socket() as client, \
            serve(sluice_bin, text_of(place, [behind]) % "responses = 1;") as s:
        for _ in range(3):
            client.sendto(b"ask", ("127.0.0.1", s.port))
            _, _, peer = heard([behind])
            behind.sendto(b"told", peer)
            assert heard([client])[1] == b"told"
        state = relay(place)
        assert (state["connections"], state["active"]) == (3, 0)


def test_a_list_says_who_may_send(sluice_bin, place):  # noqa: F811
    more = 'access "us" { allow = "127.0.0.0/8"; deny = "127.0.0.9"; }'
    with datagram_socket() as behind, datagram_socket() as friend, datagram_socket("127.0.0.9") as stranger, \
            serve(sluice_bin, text_of(place, [behind], more) % 'access = "us";') as s:
        stranger.sendto(b"stranger", ("127.0.0.1", s.port))
        wait_for(lambda: relay(place)["refused"] == 1, "the refusal")
        friend.sendto(b"friend", ("127.0.0.1", s.port))
        assert heard([behind])[1] == b"friend"


def test_answers_still_come_while_the_server_stops(sluice_bin, place):  # noqa: F811
    with datagram_socket() as behind, datagram_socket() as client, \
            serve(sluice_bin, text_of(place, [behind]) % "idle = 1s;") as s:
        client.sendto(b"ask", ("127.0.0.1", s.port))
        _, _, peer = heard([behind])
        s.process.terminate()
        s.wait_log(r"stop|drain")
        behind.sendto(b"told", peer)
        assert heard([client])[1] == b"told"
