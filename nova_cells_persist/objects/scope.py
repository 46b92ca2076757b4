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

"""How long a context variable has a value."""

from collections.abc import Iterator
import contextlib
import contextvars
from typing import Any


@contextlib.contextmanager
def of(variable: contextvars.ContextVar, value: Any) -> Iterator[Any]:
    """Give a context variable a value in a ``with`` block, and yield that.

    The token of ContextVar.set() does so by itself from Python 3.14 on.
    """
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)
