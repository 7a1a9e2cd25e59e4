// What bench/probe_load.py has k6 do: the conversation of its spillway.yaml, checked as that is. k6/ws tells of a close of
// one's own with the code that one sent, so unlike the probe's its answer is not checked.
import { check } from "k6";
import ws from "k6/ws";

const NAMES = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"];
const RUN = JSON.stringify({ type: "execute_agent", payload: { text: "hello" } });

export const options = {
  scenarios: {
    chat: {
      executor: "shared-iterations",
      vus: Number(__ENV.CONCURRENCY),
      iterations: Number(__ENV.SESSIONS),
      maxDuration: "5m",
    },
  },
};

export default function () {
  let came = 0;
  let isInOrder = true;
  let code = 0;
  const answer = ws.connect(__ENV.URL, {}, (socket) => {
    socket.on("open", () => socket.send(RUN));
    socket.on("message", (text) => {
      isInOrder = isInOrder && JSON.parse(text).type === NAMES[came];
      came += 1;
      if (came === NAMES.length) socket.close(1000);
    });
    socket.on("close", (given) => {
      code = given;
    });
  });
  check(answer, { ok: (it) => it && it.status === 101 && isInOrder && came === NAMES.length && code === 1000 });
}

export function handleSummary(data) {
  const { passes } = data.metrics.checks.values;
  return { stdout: JSON.stringify({ ok: passes, seconds: data.state.testRunDurationMs / 1000 }) };
}
