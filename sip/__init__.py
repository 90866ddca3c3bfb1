"""Calls, media and message summaries over SIP. Knows nothing of voicemail."""
