// The service of tests/test_telemetry_contract.py, on `ws`. NODE_PATH names where that is.
const { WebSocketServer } = require("ws");
const { spillwayTelemetry } = require(process.argv[2]);

const server = new WebSocketServer({
  port: 0,
  host: "127.0.0.1",
  verifyClient: (info, answer) => (info.req.url === "/refuse" ? answer(false, 503) : answer(true)),
});
spillwayTelemetry(server, { drainEveryS: Number(process.env.DRAIN_EVERY_S || 15) });
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    switch (JSON.parse(data).do) {
      case "run":
        socket.send(JSON.stringify({ type: "agent_started" }));
        socket.send(JSON.stringify({ type: "token" }));
        socket.send(wide(JSON.stringify({ type: "agent_completed" })));
        break;
      case "begin":
        socket.send(JSON.stringify({ type: "agent_started" }));
        break;
      case "end":
        socket.send(JSON.stringify({ type: "agent_completed" }));
        break;
      case "1011":
        socket.close(1011, "boom");
        break;
      case "drop":
        socket.terminate();
        break;
    }
  });
});
/** The text's bytes in items of two each, as an encoder of its own may hand them over. */
function wide(text) {
  const bytes = Buffer.from(text.padEnd(text.length + (text.length % 2)));
  return new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

server.on("listening", () => process.stderr.write(`port ${server.address().port}\n`));
