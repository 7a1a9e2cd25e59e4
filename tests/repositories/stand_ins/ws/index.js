// As much of the package ws as the repository beside it uses: text frames below 64 KiB, and close frames.
const { createHash } = require("node:crypto");
const { EventEmitter } = require("node:events");

class Socket extends EventEmitter {
  constructor(stream) {
    super();
    this.stream = stream;
    let held = Buffer.alloc(0);
    stream.on("data", (data) => {
      held = this.take(Buffer.concat([held, data]));
    });
    stream.on("error", () => stream.destroy());
  }

  take(data) {
    while (data.length >= 6) {
      let size = data[1] & 127;
      let at = 2;
      if (size === 126) {
        if (data.length < 8) break;
        size = data.readUInt16BE(2);
        at = 4;
      }
      if (data.length < at + 4 + size) break;
      const mask = data.subarray(at, at + 4);
      const body = Buffer.from(data.subarray(at + 4, at + 4 + size)).map((byte, index) => byte ^ mask[index % 4]);
      const opcode = data[0] & 15;
      data = data.subarray(at + 4 + size);
      if (opcode === 8) this.close(1000);
      else if (opcode === 9) this.frame(10, body);
      else if (opcode === 1) this.emit("message", body);
    }
    return data;
  }

  frame(opcode, body) {
    const head = body.length < 126 ? Buffer.from([128 | opcode, body.length]) : Buffer.from([128 | opcode, 126, body.length >> 8, body.length & 255]);
    if (this.stream.writable) this.stream.write(Buffer.concat([head, body]));
  }

  send(text) {
    this.frame(1, Buffer.from(text));
  }

  close(code) {
    const body = Buffer.alloc(2);
    body.writeUInt16BE(code);
    this.frame(8, body);
    this.stream.end();
  }
}

class WebSocketServer extends EventEmitter {
  constructor({ server, path }) {
    super();
    server.on("upgrade", (request, stream) => {
      if (request.url.split("?")[0] !== path) return stream.end("HTTP/1.1 404 Not Found\r\n\r\n");
      const key = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
      stream.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key.digest("base64")}\r\n\r\n`);
      this.emit("connection", new Socket(stream), request);
    });
  }
}

module.exports = { WebSocketServer };
