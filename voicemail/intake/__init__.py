"""What becomes of a mail that came in: spool, parser with limits, then mailbox, report or quarantine."""
