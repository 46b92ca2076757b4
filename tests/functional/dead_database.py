#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""A database that is none."""

import socket
import threading

import fixtures


class DeadDatabase(fixtures.Fixture):
    """A port on which a database seems to be, that hangs up on everybody.

    :ivar url: for a nova.conf
    :ivar calls: how many have tried to connect
    """

    def _setUp(self):
        self.calls = 0
        self._socket = socket.create_server(('127.0.0.1', 0))
        self.url = ('mysql+pymysql://nova:secret@127.0.0.1:%d/nova' %
                    self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._hang_up, daemon=True)
        self._thread.start()
        self.addCleanup(self._close)

    def _hang_up(self):
        while True:
            connection, _ = self._socket.accept()
            connection.close()
            if self._closing:
                return
            self.calls += 1

    _closing = False

    def _close(self):
        self._closing = True
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()
