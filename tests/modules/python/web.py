"""A web server for tests: files of a folder with times of long ago; /echo tells what was asked; /status/N answers N.

    web.py FOLDER PORTFILE
"""
import base64
import functools
import http.server
import json
import os
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def version_string(self):
        return "proof"

    def date_time_string(self, timestamp=None):
        # The files' own times are those of the checkout.
        return super().date_time_string(1000000000)

    def send_error(self, code, message=None, explain=None):
        # The phrase of the standard: that of a server's own is not told by every client.
        super().send_error(code, None, explain)

    def answer(self, code, body, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and code not in (204, 304):
            self.wfile.write(body)

    def special(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        if path == "/echo":
            said = {
                "method": self.command,
                "path": self.path,
                "body": body.decode("latin-1"),
                "type": self.headers.get("Content-Type"),
                "auth": self.headers.get("Authorization"),
                "x": self.headers.get("X-Test"),
            }
            self.answer(200, json.dumps(said).encode(), Content_Type="application/json")
        elif path.startswith("/status/"):
            self.answer(int(path.split("/")[2]), b"said\n", Content_Type="text/plain")
        elif path.startswith("/redirect/"):
            self.answer(int(path.split("/")[2]), b"", Location="/echo")
        elif path == "/private":
            wanted = "Basic " + base64.b64encode(b"user:word").decode()
            if self.headers.get("Authorization") == wanted:
                self.answer(200, b"secret\n", Content_Type="text/plain")
            else:
                self.answer(401, b"", WWW_Authenticate='Basic realm="proof"')
        elif path == "/cookie":
            self.answer(200, b"ok", Content_Type="text/plain", Set_Cookie="a=b; Path=/")
        else:
            return False
        return True

    def do_GET(self):
        self.special() or super().do_GET()

    def do_HEAD(self):
        self.special() or super().do_HEAD()

    def do_POST(self):
        self.special() or self.answer(404, b"")

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST


folder, portfile = sys.argv[1:]
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
with open(portfile + ".new", "w") as out:
    print(server.server_port, file=out)
os.rename(portfile + ".new", portfile)
server.serve_forever()
