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

"""RPC between processes without RabbitMQ: a broker, and the driver for it.

The driver is that of ``transport_url = wire://127.0.0.1:PORT/VHOST``; the
broker is this file as a program, on a listening socket that it inherits.

A message is a line of JSON. A sender opens a connection for it and waits on
that for the answer, so that threads and forks share nothing; a listener gets
its messages over one that stays.
"""

import asyncio
import collections
import json
import socket
import sys
import uuid

from oslo_messaging._drivers import base
from oslo_messaging._drivers import common
from oslo_messaging import exceptions
from oslo_serialization import jsonutils

#: A line may be as long as an object of Nova can get.
LIMIT = 2 ** 24


class Driver(base.BaseDriver):
    """A driver of oslo.messaging, for RPC only."""

    def send(self, target, ctxt, message, wait_for_reply=None, timeout=None,
             **options):
        # A cast is answered too: then the broker has it.
        message_id = uuid.uuid4().hex if wait_for_reply else None
        try:
            answer = self._ask(
                timeout, verb='send', topic=target.topic,
                server=target.server, fanout=bool(target.fanout),
                message={'ctxt': ctxt, 'message': message, 'id': message_id})
        except socket.timeout:
            raise exceptions.MessagingTimeout(
                'No reply from %s within %s s' % (target, timeout))
        if answer['failure']:
            raise common.deserialize_remote_exception(
                answer['failure'], self._allowed_remote_exmods)
        return answer['reply']

    def reply(self, message_id, reply, failure):
        if failure:
            failure = common.serialize_remote_exception(failure)
        self._ask(verb='reply', message_id=message_id,
                  answer={'reply': reply, 'failure': failure})

    def send_notification(self, *args, **kwargs):
        raise NotImplementedError()

    def listen(self, target, batch_size, batch_timeout):
        connection, stream = self._connect(
            verb='listen', topic=target.topic, server=target.server)
        return base.PollStyleListenerAdapter(
            Listener(self, connection, stream), batch_size, batch_timeout)

    def listen_for_notifications(self, *args, **kwargs):
        raise NotImplementedError()

    def cleanup(self):
        pass

    def _ask(self, timeout=None, **request):
        connection, stream = self._connect(timeout, **request)
        with connection, stream:
            return json.loads(stream.readline())

    def _connect(self, timeout=None, **request):
        host, = self._url.hosts
        connection = socket.create_connection((host.hostname, host.port))
        connection.settimeout(timeout)
        request['vhost'] = self._url.virtual_host
        connection.sendall(jsonutils.dump_as_bytes(request) + b'\n')
        return connection, connection.makefile('rb')


class Listener(base.PollStyleListener):

    def __init__(self, driver, connection, stream):
        super().__init__()
        self._driver = driver
        self._connection = connection
        self._stream = stream
        self._stopped = False
        stream.readline()   # the broker listens

    def poll(self, timeout=None, batch_size=1, batch_timeout=None):
        # An RPC server asks for one message and waits for it for ever.
        line = self._stream.readline()
        if line:
            return [Message(self._driver, **json.loads(line))]
        if not self._stopped:
            raise ConnectionError('The broker has hung up')
        return []

    def stop(self):
        self._stopped = True
        self._connection.shutdown(socket.SHUT_RDWR)


class Message(base.RpcIncomingMessage):

    def __init__(self, driver, ctxt, message, id):
        super().__init__(ctxt, message)
        self._driver = driver
        self._id = id   # None if nobody waits for a reply

    def reply(self, reply=None, failure=None):
        if self._id:
            self._driver.reply(self._id, reply, failure)

    def requeue(self):
        raise NotImplementedError()

    def heartbeat(self):
        raise NotImplementedError()


class Broker:
    """Keeps messages until they are fetched, and the callers who wait."""

    NOTHING = {'reply': None, 'failure': None}

    def __init__(self):
        # {(vhost, topic, server or None): Queue}
        self._queues = collections.defaultdict(asyncio.Queue)
        self._answers = {}   # {message id: Future}

    async def serve(self, reader, writer):
        request = json.loads(await reader.readline())
        await getattr(self, request.pop('verb'))(reader, writer, **request)
        writer.close()

    async def send(self, reader, writer, vhost, topic, server, fanout,
                   message):
        answer = asyncio.get_running_loop().create_future()
        if message['id']:
            self._answers[message['id']] = answer
        else:
            answer.set_result(self.NOTHING)
        for queue in (self._servers(vhost, topic) if fanout else
                      [self._queues[vhost, topic, server]]):
            queue.put_nowait(message)
        await self._write(writer, await answer)

    async def reply(self, reader, writer, vhost, message_id, answer):
        self._answers.pop(message_id).set_result(answer)
        await self._write(writer, self.NOTHING)

    async def listen(self, reader, writer, vhost, topic, server):
        async def forward(queue):
            while True:
                await self._write(writer, await queue.get())

        queues = [self._queues[vhost, topic, name]
                  for name in {server, None}]
        await self._write(writer, self.NOTHING)
        forwards = [asyncio.ensure_future(forward(queue)) for queue in queues]
        # What comes when the listener has gone is for the next one.
        await reader.read()
        for one in forwards:
            one.cancel()

    def _servers(self, vhost, topic):
        return [queue for (*place, server), queue in self._queues.items()
                if place == [vhost, topic] and server is not None]

    async def _write(self, writer, message):
        writer.write(json.dumps(message).encode() + b'\n')
        await writer.drain()


async def main(descriptor):
    server = await asyncio.start_server(
        Broker().serve, sock=socket.socket(fileno=descriptor), limit=LIMIT)
    await server.serve_forever()


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[-1])))
