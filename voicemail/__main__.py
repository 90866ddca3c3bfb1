"""`python -m voicemail` is the command `voicemail`."""

from voicemail.cli import main

main()
