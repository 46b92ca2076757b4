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

"""The process of one side: a cloud, and an ear for what to do with it."""

import gc
import os
import signal
import sys
import tempfile
import traceback

from tests.perf import scenarios


class Worker:
    """Does what the driver asks for; each method is something to ask.

    :param plugin: whether nova-cells-persist is on
    :param urls: as of cloud.Cloud
    :param log: the path of the file for all that Nova says
    :param rows: as of scenarios.make()
    """

    def __init__(self, plugin, urls, log, rows):
        self._plugin = plugin
        self._urls = urls
        self._log = log
        self._scenarios = scenarios.make(rows)

    def start(self):
        # Imported late: Nova has much to say when it is, and by now that
        # goes to the log.
        from nova import monkey_patch
        monkey_patch.patch()
        from tests.perf import cloud
        self._cloud = cloud.Cloud(self._plugin, self._urls, self._log)
        self._cloud.setUp()

    def prepare(self, name):
        self._scenarios[name].prepare(self._cloud)
        # What is there is no garbage. To look through all of Nova takes a
        # third of a second, which now and then would be on a run's account.
        gc.collect()
        gc.freeze()

    def run(self, name, size):
        return self._scenarios[name].run(self._cloud, size)

    def clean_up(self, name):
        self._scenarios[name].clean_up(self._cloud)

    def profile(self, name, size, rounds, path):
        """Run a scenario under yappi, which sees all threads.

        :param path: of the file that it writes, one for pstats
        """
        import yappi
        yappi.set_clock_type('wall')
        yappi.start()
        for _ in range(rounds):
            self.run(name, size)
        yappi.stop()
        yappi.get_func_stats().save(path, type='pstat')


def serve(connection, folder, plugin, urls, log, rows):
    """Be the process of one side, until the driver hangs up or is gone.

    :param connection: to the driver. It sends the name of a method of Worker
        and the arguments, and is sent whether that went well, and the result
        or the traceback
    :param folder: for temporary files
    """
    tempfile.tempdir = folder
    with open(log, 'w') as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    # Ctrl-C is for the driver.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(plugin, urls, log, rows)
    try:
        while True:
            method, arguments = connection.recv()
            connection.send(_answer(worker, method, arguments))
    except (EOFError, BrokenPipeError):
        # The cloud is not taken down: its databases go with the driver.
        os._exit(0)


def _answer(worker, method, arguments):
    try:
        return True, getattr(worker, method)(*arguments)
    except Exception:
        return False, traceback.format_exc()
