"""A door before a server that lets every request in after a while."""

import socket
import threading
import time


class SlowProxy:
    """Passes connections on to a port of this machine; what a client sends waits for so many seconds."""

    def __init__(self, port: int, to_port: int, delay_s: float) -> None:
        self._to_port, self._delay_s = to_port, delay_s
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._to_port))
            threading.Thread(target=_pass_on, args=(client, server, self._delay_s), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client, 0.0), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    try:
        while data := source.recv(1 << 20):
            time.sleep(delay_s)
            target.sendall(data)
    except OSError:
        return  # one side has hung up, as it may at any time; the other hears of it below
    finally:
        target.close()
