"""A virtio-rdma device behind a vhost-user socket: python3 device.py SOCKET [--profile roce|rdma]."""

import argparse
import os
import select
import socket
import sys

from machine import Host
from vhost_user import Connection, Gone


def serve(path, profile):
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    host, poll, callbacks = Host(profile), select.epoll(), {}

    def watch(fd, callback):
        if callback is None:
            poll.unregister(fd)
            del callbacks[fd]
        else:
            poll.register(fd, select.EPOLLIN)
            callbacks[fd] = callback

    def accept():
        sock, _ = listener.accept()
        connection = Connection(host, sock, watch)
        requests.add(sock.fileno())
        watch(sock.fileno(), lambda: receive(connection))

    def receive(connection):
        try:
            connection.receive()
        except (Gone, OSError) as fault:
            if str(fault) != 'hung up':
                print(f'connection ended: {fault}', file=sys.stderr, flush=True)
            requests.discard(connection.socket.fileno())
            watch(connection.socket.fileno(), None)
            connection.close()

    requests = {listener.fileno()}
    watch(listener.fileno(), accept)
    while True:
        ready = [fd for fd, _ in poll.poll(host.seconds_to_wait())]
        # Kicks and what they cause come before requests: a request is answered when all is done that was
        # asked for before it, so a front-end can wait for us by asking for something.
        for fd in sorted(ready, key=lambda fd: fd in requests):
            if fd in requests:
                host.work()
            if fd in callbacks:
                callbacks[fd]()
        host.work()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('socket')
    parser.add_argument('--profile', choices=('roce', 'rdma'), default='roce')
    options = parser.parse_args()
    try:
        serve(options.socket, options.profile)
    except KeyboardInterrupt:
        pass
    finally:
        if os.path.exists(options.socket):
            os.unlink(options.socket)
