from enum import Enum


class MessageType(str, Enum):
    START_AGENT = "start_agent"
    PING = "ping"


LEGACY_MESSAGE_TYPE_MAP = {
    "execute_agent": MessageType.START_AGENT,
    "ping": MessageType.PING,
}
