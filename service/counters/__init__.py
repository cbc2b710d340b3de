"""Redis, the live side: what each meter stands at now. It can be lost at any moment without losing money."""
