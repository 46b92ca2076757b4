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

"""Run with ``python -m tools.demo``; ``make demo`` does it in its own venv.

Exit status: 0 when everything was as promised, 1 when a promise was broken,
2 when the demo could not run.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from tools.demo import errors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
NOVA = '34.'
PLUGIN = 'nova_cells_persist'


def main():
    options = _options()
    # What is shown is the plugin as it is installed, with its entry points
    # and migrations, not the source tree that happens to be the current
    # directory.
    sys.path[:] = [path for path in sys.path
                   if os.path.abspath(path) != ROOT]
    try:
        _check_environment(options.stock)
    except errors.DemoError as error:
        print(error, file=sys.stderr)
        return 2
    from tools.demo import report
    printer = report.Report(quiet=bool(options.json))
    try:
        logs = options.logs or tempfile.mkdtemp(
            prefix='nova-cells-persist-demo-')
        os.makedirs(logs, exist_ok=True)
    except OSError as error:
        printer.problem('There is no place for the logs: %s.' % error)
        return 2
    try:
        with printer:
            status = _run(options, logs, printer)
    except errors.DemoError as error:
        status = 2
        printer.problem('The demo could not go on. %s' % error)
    except KeyboardInterrupt:
        status = 130
        printer.problem('Interrupted.')
    if status and status != 130:
        printer.problem('What the services logged is in %s.' % logs)
    elif not options.logs:
        shutil.rmtree(logs, ignore_errors=True)
    return status


def _options():
    parser = argparse.ArgumentParser(
        prog='python -m tools.demo',
        description='Bring a two-cell Nova up in this process, and show '
        'where nova-cells-persist keeps each record.')
    parser.add_argument(
        '--stock', action='store_true',
        help='tell the story on stock Nova, without the plugin, and promise '
        'nothing of the rows')
    parser.add_argument(
        '--json', metavar='FILE',
        help='write what was measured into FILE, and print nothing')
    parser.add_argument(
        '--logs', metavar='DIR',
        help='keep the logs of the services in DIR; by default they are '
        'kept in a temporary directory, and only when something went wrong')
    return parser.parse_args()


def _check_environment(stock):
    """Say in a sentence what is missing, before an import says it in thirty.

    :raises errors.DemoError: something is
    """
    try:
        version = importlib.metadata.version('nova')
    except importlib.metadata.PackageNotFoundError:
        raise errors.DemoError(
            'Nova is not installed in %s: run "make demo", which makes an '
            'environment with Nova 34.0.0 in it.' % sys.prefix)
    if not version.startswith(NOVA):
        raise errors.DemoError(
            'The demo is written for the test fixtures of Nova 34, and this '
            'is Nova %s: run "make demo".' % version)
    needed = ['placement', 'rich', 'wsgi_intercept', 'oslotest', 'testtools']
    if not stock:
        needed.append(PLUGIN)
    missing = [name for name in needed
               if importlib.util.find_spec(name) is None]
    if missing:
        raise errors.DemoError(
            'Not installed in %s: %s. Run "make demo", which installs all '
            'that the demo needs.' % (sys.prefix, ', '.join(missing)))
    if not stock:
        # Now, while the path is right: Nova's alembic.ini puts the current
        # directory on it again.
        importlib.import_module(PLUGIN)


def _run(options, logs, printer):
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stock = None
        if not options.stock:
            # At once, beside the run that is shown: a machine has two cores.
            stock = stack.enter_context(_StockRun(logs))
        steps = _tell(options.stock, logs, printer)
        measured = _measured(steps)
        if options.json:
            with open(options.json, 'w') as output:
                json.dump(measured, output)
        elif stock:
            printer.say('waiting for the same story on stock Nova')
            printer.comparison(measured, stock.result())
    broken = [(step, promise) for step in steps for promise in step.broken]
    if broken:
        printer.problem('%s of %s promises broken:' % (
            len(broken), sum(len(step.promises) for step in steps)))
        for step, promise in broken:
            printer.problem('  %s: %s' % (step.name, promise.text))
        return 1
    printer.done('All %s promises of %s steps kept, in %.0f seconds.' % (
        sum(len(step.promises) for step in steps), len(steps),
        time.monotonic() - started))
    return 0


def _measured(steps):
    from tools.demo import report
    return [report.measure(step) for step in steps]


def _tell(stock, logs, printer):
    """Bring the cloud up, tell the story, take the cloud down.

    :returns: the Steps
    :raises errors.DemoError: for whatever went wrong; its traceback is in
        the log
    """
    # Native threads, as Nova runs by default; Nova's tests would choose
    # eventlet. It must be said before Nova is imported.
    os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = '1'
    path = os.path.join(logs, 'stock.log' if stock else 'plugin.log')
    printer.title('A two-cell cloud on %s' % (
        'stock Nova' if stock else 'Nova with nova-cells-persist'))
    printer.say('importing Nova')
    steps = []
    # For good, and never closed: threads of services may still write when the
    # story is over.
    log = sys.stderr = open(path, 'a', buffering=1)
    try:
        from tools.demo import cloud as demo_cloud
        from tools.demo import story
        with demo_cloud.Cloud(not stock, path, printer.say) as cloud:
            for step in story.Story(cloud, printer.say).tell():
                printer.step(step)
                steps.append(step)
    except Exception as error:
        traceback.print_exc(file=log)
        if isinstance(error, errors.DemoError):
            raise
        raise errors.DemoError(errors.sentence(error)) from error
    return steps


class _StockRun:
    """The same story on stock Nova, in a child process."""

    def __init__(self, logs):
        self._logs = logs
        self._output = os.path.join(logs, 'stock.json')

    def __enter__(self):
        self._child = subprocess.Popen(
            [sys.executable, '-m', 'tools.demo', '--stock',
             '--json', self._output, '--logs', self._logs],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exc_info):
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()

    def result(self):
        """What the child measured.

        :raises errors.DemoError: it failed
        """
        try:
            _, said = self._child.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            raise errors.DemoError(
                'The run on stock Nova did not end within two minutes.')
        if self._child.returncode:
            raise errors.DemoError(
                'The run on stock Nova failed: %s' % ' '.join(said.split()))
        with open(self._output) as output:
            return json.load(output)


if __name__ == '__main__':
    exit_status = main()
    sys.stdout.flush()
    # Not sys.exit(), which would wait for a thread that a service that failed
    # has left behind.
    os._exit(exit_status)
