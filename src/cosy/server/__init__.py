"""The HTTP and WebSocket server: `app.create_app` builds it around an engine and a store of voices."""
