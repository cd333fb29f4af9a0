"""A workstation that knows a scripted machine, for the tests of what simulators do not do."""
import json

from workstation import TOKEN, Machine, Workstation


class Scripted(Workstation):
    def setUp(self):
        super().setUp()
        self.machine = Machine(*self.certificate)
        self.addCleanup(self.machine.close)
        self.trust(self.machine.authority, self.certificate[0])
        self.env |= {"HILUM_HOST": "https://" + self.machine.authority, "HILUM_TOKEN": TOKEN}

    def answer(self, request, body, status=200, **headers):
        """What the machine says to "METHOD /path below /api/v1"."""
        method, path = request.split()
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.machine.answers[f"{method} /api/v1{path}"] = (status, headers, body)

    def stream(self, path, function):
        """A WebSocket there: function(handler) has it."""
        def upgrade(handler):
            handler.upgrade()
            try:
                function(handler)
            except (OSError, ValueError):
                pass  # the client has gone
        self.machine.answers[f"GET /api/v1{path}"] = upgrade
