"""What the server keeps: voices, consents, keys and usage, in a database and an object store.

    database = Database("sqlite:///cosy.db")
    database.migrate()                                      # blocks; tables are brought up to date
    objects = ObjectStore("/var/lib/cosy/objects")
    voices = VoiceRegistry(database, objects, prepare)      # prepare: recording -> Prepared
    consents, keys, usage = Consents(database, objects), KeyRing(database), Usage(database)
    await voices.start()                                    # presets, and the sweep after a crash
    await consents.start()

Knows neither HTTP nor networks: recordings are prepared by a function that is handed in.
"""
