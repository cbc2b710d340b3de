"""The programs that run beside the service, and those that change things while it is measured."""
