"""What a client may send, and the rules it is held to beyond its types.

UNSET is a field the client left out: on an update it keeps what is there. A fault is a RefusedError of kind `invalid`
with the JSON path of what is wrong.
"""
