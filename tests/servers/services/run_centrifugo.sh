# BROKEN: nobody may publish, as after a configuration that lost a line.
if [ -n "$BROKEN" ]; then export CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT=false; fi
exec "$CENTRIFUGO" --config centrifugo.json --http_server.port "$PORT"
