import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const http = createServer((request, response) => {
  response.writeHead(request.url === "/healthz" ? 200 : 404);
  response.end();
});
const wss = new WebSocketServer({ server: http, path: "/socket" });

function send(ws, type, payload) {
  ws.send(JSON.stringify({ type, payload }));
}

async function runAgent(ws, message) {
  send(ws, "run_started", { agent: message.payload.agent });
  // send(ws, "not_this", {});
  for (const step of ["plan", "act"]) {
    send(ws, "step", { step });
  }
  send(ws, "run_completed", {});
}

wss.on("connection", (ws) => {
  ws.on("message", async (raw) => {
    const message = JSON.parse(raw);
    switch (message.type) {
      case "start_run":
        await runAgent(ws, message);
        break;
      case "ping":
        send(ws, "pong", {});
        break;
      default:
        send(ws, "error", { reason: "unknown" });
    }
  });
});

http.listen(Number(process.env.PORT ?? 8080));
