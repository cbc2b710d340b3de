"""Virtual keys that are to be deleted when they have expired."""

from functools import partial

from service.domain.refusals import RefusedError
from service.governance.changes.change import Author, Change, new_id
from service.governance.changes.run import Answer
from service.governance.changes.virtual_keys import delete_virtual_key, lock
from service.governance.maintenance.work import Step, Work
from service.store.maintenance import VirtualKeyPlace, list_virtual_keys_to_delete

_ACTOR = "maintain"
_PAGE = 500
_MOST_PAGES = 2000
_DELETED, _KEPT = 204, 200


async def delete_expired_keys(work: Work) -> None:
    author = Author(_ACTOR, new_id())
    number = 0
    place = VirtualKeyPlace()
    for _ in range(_MOST_PAGES):
        page = await list_virtual_keys_to_delete(work.connection, place, as_of=work.now, limit=_PAGE)
        if not page:
            break
        place = page[-1]
        for found in page:
            number += work.dry_run or await _delete(work, author, found.id)
            work.progress("expired virtual keys", number)
    if number:
        work.tell(Step("delete", f"{number} expired virtual keys"))


async def _delete(work: Work, author: Author, virtual_key_id: str) -> bool:
    try:
        answer = await work.changes.run(partial(_delete_if_expired, virtual_key_id=virtual_key_id), author=author)
    except RefusedError as error:
        if error.kind != "not_found":
            raise
        return False
    return answer.status == _DELETED


async def _delete_if_expired(change: Change, *, virtual_key_id: str) -> Answer:
    """It may have been edited since it was found."""
    columns = await lock(change, virtual_key_id)
    if not columns.delete_after_expire or columns.expires_at is None or columns.expires_at > change.now:
        return Answer(_KEPT, b"")
    await delete_virtual_key(change, virtual_key_id)
    return Answer(_DELETED, b"")
