// socket.io's own server on Node: an event that asks back before it is done. BROKEN=close: the connection drops instead.
const { Server } = require("socket.io");

const server = new Server({ pingInterval: 1000 });
server.of("/jobs").on("connection", (socket) => {
  socket.on("run", async ({ text }, acknowledge) => {
    socket.emit("started", text);
    if (process.env.BROKEN) return socket.conn.close();
    const answer = await socket.emitWithAck("confirm", text);
    socket.emit("done", { answer, picture: Buffer.from("png") });
    acknowledge("thanks");
  });
});
server.listen(Number(process.env.PORT));
