from pathlib import Path

from redis.asyncio import Redis

from service.embedded.servers import EmbeddedValkey


async def test_settings_reach_the_server_and_the_others_keep_their_values(
    state_folder: Path,
) -> None:
    valkey = EmbeddedValkey(state_folder, settings={"maxmemory": "64mb"})
    await valkey.start()
    try:
        async with Redis.from_url(valkey.url, decode_responses=True) as client:
            settings = await client.config_get("*")
    finally:
        await valkey.stop()
    expected = {
        "maxmemory": str(64 * 1024 * 1024),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    assert settings | expected == settings
