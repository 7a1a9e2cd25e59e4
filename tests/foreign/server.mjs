// An agent service in another language: each request is answered with the five events of a run. BROKEN=close: 1011 midway.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const EVENTS = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];

const http = createServer((request, response) => {
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ status: "ok" }));
});

new WebSocketServer({ server: http, path: "/ws" }).on("connection", (socket) => {
  socket.on("message", (data) => {
    const { type, payload } = JSON.parse(data);
    if (type !== "execute_agent") return socket.close(1008, `unknown type ${type}`);
    for (const event of EVENTS) {
      if (process.env.BROKEN && event === "tool_completed") return socket.close(1011, "boom");
      socket.send(JSON.stringify({ type: event, payload }));
    }
  });
});

http.listen(Number(process.env.PORT ?? 8080), () => console.log(`listening on ${http.address().port}`));
process.on("SIGTERM", () => process.exit(0));
