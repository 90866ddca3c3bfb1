"""What must happen once for the whole cluster: lamps and mail, done by the node that is Primary.

The way of a piece of work: outbox (store) -> runner.py (fetches, starts, records) -> agenda.py (pure:
which work next) -> notifier.py (lamps), postman.py (mail) or post.py (what goes to other systems).
All mails leave through smtp_out.py. `service.py` is the process around it.
"""
