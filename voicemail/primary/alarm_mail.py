"""The mail that tells the administrator of an alarm, pure: the same outbox item always gives the same
mail, to the byte, on both nodes."""

from email.message import EmailMessage
from email.policy import SMTP

from store.model import Notice, OutboxItem
from voicemail.config import Mail
from voicemail.primary.mail import NoAddress, address, clean


def alarm_mail(item: OutboxItem, settings: Mail) -> EmailMessage:
    """Raises NoAddress, also for a payload that is no notice."""
    try:
        notice = Notice.read(item.payload)
    except ValueError as error:
        raise NoAddress(str(error)) from None
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address(settings.sender)
    mail["To"] = address(notice.to)
    mail["Subject"] = clean(notice.subject)
    mail["Date"] = item.created
    mail["Message-ID"] = f"<{item.id}@{clean(settings.message_id_domain)}>"
    mail["Auto-Submitted"] = "auto-generated"
    if notice.severity == "critical" and notice.state != "cleared":
        mail["Importance"] = "high"
    mail["X-Alarm"] = clean(f"{notice.alarm} {notice.state} {notice.server}")
    mail.set_content("\n".join(clean(line, 500) for line in notice.text.splitlines()) + "\n")
    return mail
