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

"""The processes of a cloud: started, found again, stopped, by pid.

What was started is noted in a file each, with the moment in which the process
began. So another command finds it again, and takes no other process for it
that has got the same pid since.
"""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import time

import psutil

from tools.onebox import errors

# To end by itself after SIGTERM. nova-compute takes about five.
GRACE = 40

LAST_LINES = 25


class Processes:
    """Of one cloud.

    :param place: a Place
    """

    def __init__(self, place):
        self._place = place

    def start(self, name, command, env=None):
        """Start a program in a session of its own, with a log of its own.

        :param command: a list of str
        :param env: added to this process's environment, a dict
        """
        self._place.made('log')
        with open(self._place.log(name), 'ab') as log:
            started = subprocess.Popen(
                command, cwd=self._place.folder, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
                env=dict(os.environ, **env or {}))
        self._note(name, psutil.Process(started.pid))

    def _note(self, name, process):
        self._place.made('run')
        with open(self._path(name), 'w') as file:
            json.dump({'pid': process.pid, 'began': process.create_time()},
                      file)

    def _path(self, name):
        return self._place.path('run', name + '.json')

    def names(self):
        """Return the names of what was started and not stopped, a list."""
        try:
            files = os.listdir(self._place.path('run'))
        except FileNotFoundError:
            return []
        return sorted(file.removesuffix('.json') for file in files)

    def find(self, name):
        """Return the psutil.Process of a name, or None if it has ended."""
        try:
            with open(self._path(name)) as file:
                noted = json.load(file)
            process = psutil.Process(noted['pid'])
            if (process.create_time() == noted['began'] and
                    process.status() != psutil.STATUS_ZOMBIE):
                return process
        except (FileNotFoundError, psutil.NoSuchProcess):
            pass
        return None

    def tree(self, name):
        """Return a process and all that descend from it, a list."""
        process = self.find(name)
        if process is None:
            return []
        try:
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def running(self):
        return [name for name in self.names() if self.find(name)]

    def send(self, name, how):
        """Send a signal to a process and all that descend from it."""
        for process in self.tree(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)

    def kill(self, name):
        """End a process and its descendants at once, as a crash would."""
        tree = self.tree(name)
        self.send(name, signal.SIGKILL)
        psutil.wait_procs(tree, timeout=GRACE)
        self._forget(name)

    def stop(self, names):
        """Ask processes to end; what is left after a while is killed."""
        trees = {name: self.tree(name) for name in names}
        everything = [process for tree in trees.values() for process in tree]
        for tree in trees.values():
            for process in tree[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    # A stopped one would not hear the other.
                    process.send_signal(signal.SIGCONT)
                    process.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs(everything, timeout=GRACE)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=GRACE)
        for name in names:
            self._forget(name)

    def _forget(self, name):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def memory(self, name):
        """Return what a process and its descendants take.

        :returns: two int of bytes, RSS and PSS; PSS counts a page that
            several processes share once
        """
        rss = pss = 0
        for process in self.tree(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                taken = process.memory_full_info()
                rss += taken.rss
                pss += taken.pss
        return rss, pss

    def wait(self, name, answers, seconds):
        """Wait until a service answers.

        :param answers: called with nothing, returns whether it does
        :raises: NotStarted
        """
        deadline = time.monotonic() + seconds
        while not answers():
            if self.find(name) is None:
                raise self._not_started(name, 'has ended')
            if time.monotonic() > deadline:
                raise self._not_started(
                    name, 'did not answer within %d s' % seconds)
            time.sleep(0.1)

    def _not_started(self, name, reason):
        log = self._place.log(name)
        return errors.NotStarted(name, reason, log, last_lines(log))


def last_lines(path, count=LAST_LINES, size=65536):
    """Return the last lines of a file, a list of str."""
    with open(path, 'rb') as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        text = file.read().decode(errors='replace')
    return list(collections.deque(
        (re.sub(r'[\r\x00]', '', line) for line in text.splitlines()
         if line.strip()), count))
