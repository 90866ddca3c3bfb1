"""What must happen once for the whole cluster: lamps and mail, done by the node that is Primary.

The way of a piece of work: outbox (store) -> runner.py (fetches, starts, records) -> agenda.py (pure:
which work next) -> notifier.py (lamps) or postman.py (mail). `service.py` is the process around it.
"""
