"""What callers and users hear and press: one file per menu, each read from top to bottom like the call.

A conversation sees a `sip.call.Call` and a `Desk`; no SIP stack, no SQL, no clock. What it decides it
does first and says afterwards, so that a caller who hangs up in between loses nothing.
"""
