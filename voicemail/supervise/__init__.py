"""The parts of the supervisor (`voicemail/node.py`): what runs, what the edge is told, operators' orders."""
