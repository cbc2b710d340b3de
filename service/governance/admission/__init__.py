"""May this call be made? authorize.py is the use case; reserve.py asks Redis, without_redis.py decides without it."""
