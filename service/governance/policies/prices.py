"""What calls cost, from the worker's memory: all prices, loaded again after a change of one."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from service.domain.pricing import ModelPrice, PricedCall, Prices, PricingOverride, Tokens, cost_nanousd, prices_for
from service.store.policies import list_all_model_prices, list_all_pricing_overrides
from service.store.postgres import Store, StoreUnavailableError


class PriceBook:
    """Costs in nano-dollars."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._base: dict[tuple[str | None, str], Prices] = {}
        self._overrides: dict[str | None, list[PricingOverride]] = {}
        self._is_doubted = True
        self._is_loaded = False
        self._loading: asyncio.Task[None] | None = None

    def doubt(self) -> None:
        """A price may have changed."""
        self._is_doubted = True

    async def refresh(self) -> None:
        """Bring the prices up to date. What was loaded before holds while Postgres does not answer."""
        if self._loading is not None:
            # Begun before the last change, maybe.
            await asyncio.shield(self._loading)
        if self._is_doubted:
            await asyncio.shield(self._load_once())

    async def have(self) -> None:
        """As `refresh`, for estimates: nobody waits for prices who has some."""
        if not self._is_loaded:
            await self.refresh()
        elif self._is_doubted:
            self._load_once()

    def cost_nanousd(self, call: PricedCall, tokens: Tokens) -> int | None:
        """None when a price that it takes is not known."""
        overrides = self._overrides.get(None, [])
        if call.virtual_key_id in self._overrides:
            overrides = self._overrides[call.virtual_key_id] + overrides
        prices = prices_for(call, self._price_of(call), overrides)
        return None if prices is None else cost_nanousd(prices, tokens)

    def _price_of(self, call: PricedCall) -> Prices | None:
        """Of the provider's model; without a provider, of the first provider that has one of this name."""
        found = self._base.get((call.provider_id, call.model))
        if found is None and "/" in call.model:
            provider, _, model = call.model.partition("/")
            found = self._base.get((call.provider_id or provider, model))
        return found

    def _load_once(self) -> "asyncio.Task[None]":
        """Together with whoever waits for them already."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="load prices")
        return self._loading

    async def _load(self) -> None:
        self._is_doubted = False
        try:
            async with self._store.snapshot() as snapshot:
                prices = await list_all_model_prices(snapshot)
                overrides = await list_all_pricing_overrides(snapshot)
        except StoreUnavailableError:
            self._is_doubted = True
        except BaseException:
            self._is_doubted = True
            raise
        else:
            self._keep(prices, overrides)
        finally:
            self._loading = None

    def _keep(self, prices: Sequence[ModelPrice], overrides: Sequence[PricingOverride]) -> None:
        base: dict[tuple[str | None, str], Prices] = {(each.provider, each.model): each.prices for each in prices}
        for each in prices:
            base.setdefault((None, each.model), each.prices)
        by_key: defaultdict[str | None, list[PricingOverride]] = defaultdict(list)
        for override in overrides:
            by_key[override.virtual_key_id].append(override)
        self._base, self._overrides = base, dict(by_key)
        self._is_loaded = True
