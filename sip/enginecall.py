"""A call as the main thread sees it; the rules are those of `sip.endpoint`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pjsua2 as pj
import structlog

from sip.ear import Ear

if TYPE_CHECKING:
    from sip.endpoint import Engine

RESTORED = 0.7
"""Seconds after which a new stream has turned its silence suppression on."""

Headers = Iterable[tuple[str, str]]

log = structlog.get_logger()


def with_headers(option: Any, headers: Headers) -> None:
    """Adds headers to a pjsua2 SipTxOption."""
    vector = pj.SipHeaderVector()
    for name, value in headers:
        header = pj.SipHeader()
        header.hName, header.hValue = name, value
        vector.append(header)
    option.headers = vector


class Player(pj.AudioMediaPlayer):  # type: ignore[misc]
    """Plays one file once."""

    tell: Callable[[str, Any], None]
    serial: int

    def onEof2(self) -> None:
        self.tell("played", self.serial)


class EngineCall(pj.Call):  # type: ignore[misc]
    """A call as the main thread sees it. All methods but the callbacks are commands."""

    engine: "Engine"
    number: int
    tell: Callable[[str, Any], None]
    audio: Any = None
    player: Any = None
    recorder: Any = None
    ear: Ear | None = None
    keeps_rtp = over = paused = False
    partner = 0
    """The call that this one is joined with; 0 for none."""

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.tell("confirmed", None)
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.over = True
            self.engine.ended(self.number)
            self.tell("ended", int(info.lastStatusCode))

    def onCallMediaState(self, prm: Any) -> None:
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if (media.type, media.status) == (pj.PJMEDIA_TYPE_AUDIO, pj.PJSUA_CALL_MEDIA_ACTIVE):
                self.connect(index)
                self.tell("media", True)
                return
        self.tell("media", False)

    def onDtmfDigit(self, prm: Any) -> None:
        """The key, and how it was told: 0 is RFC 4733, 1 SIP INFO."""
        self.tell("digit", f"{prm.digit}{prm.method}")

    def onCallTransferRequest(self, prm: Any) -> None:
        """A caller must not make us call anybody, which the library would do unasked."""
        prm.statusCode = pj.PJSIP_SC_FORBIDDEN

    def onCallTransferStatus(self, prm: Any) -> None:
        if prm.finalNotify or prm.statusCode >= 200:
            self.tell("referred", int(prm.statusCode))

    def connect(self, index: int) -> None:
        """Join a new or resumed stream to whatever plays and records."""
        self.audio = self.getAudioMedia(index)
        self.audio.startTransmit(self.engine.sink)
        if self.player:
            self.player.startTransmit(self.audio)
        if self.recorder and not self.paused:
            self.audio.startTransmit(self.recorder)
        self.join()
        self.listen(index)
        if self.keeps_rtp:
            self.engine.after(RESTORED, EngineCall.send_silence, self.number)

    def listen(self, index: int) -> None:
        """For keys in the audio, where no telephone events (RFC 4733) were agreed on."""
        wanted = self.engine.settings.hears_tones
        if wanted and self.getStreamInfo(index).audTxEventPt < 0:
            self.ear = self.ear or self.engine.ears.take(self.tell)
            if self.ear:
                self.ear.hear(self.audio)
        else:
            self.hear_no_more()

    def hear_no_more(self) -> None:
        ear, self.ear = self.ear, None
        if ear:
            self.engine.ears.give_back(ear)

    def reply(self, code: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        parameters = pj.CallOpParam()
        parameters.statusCode, parameters.reason = code, reason
        with_headers(parameters.txOption, headers)
        self.answer(parameters)

    def play(self, path: str, serial: int) -> None:
        """`path` must be a sound that `sip.wav.plain` admits."""
        self.stop()
        player = Player()
        player.tell, player.serial = self.tell, serial
        player.createPlayer(path, pj.PJMEDIA_FILE_NO_LOOP)
        self.player = player
        if self.audio:
            player.startTransmit(self.audio)

    def stop(self) -> None:
        player, self.player = self.player, None
        if player:
            self.engine.retire(player)
            disconnect(player, self.audio)

    def record(self, path: str) -> None:
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(path, 0, 0, pj.PJMEDIA_FILE_WRITE_ULAW)
        self.recorder, self.paused = recorder, False
        if self.audio:
            self.audio.startTransmit(recorder)

    def pause_recording(self) -> None:
        """The file stays open and does not grow."""
        self.paused = True
        disconnect(self.audio, self.recorder)

    def go_on_recording(self) -> None:
        self.paused = False
        if self.audio and self.recorder:
            self.audio.startTransmit(self.recorder)

    def stop_recording(self) -> None:
        """The file is complete some ms later."""
        recorder, self.recorder = self.recorder, None
        if recorder:
            disconnect(self.audio, recorder)

    def keep_rtp(self) -> None:
        """Send packets all the time, silence included, on this and any later stream of the call."""
        self.keeps_rtp = True
        if self.audio:
            self.engine.after(RESTORED, EngineCall.send_silence, self.number)

    def send_silence(self) -> None:
        """A new stream sends everything for 0.6 s, then turns silence suppression on, whatever was
        set before: so turn it off after that."""
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                parameters = self.getStreamInfo(index).audCodecParam
                parameters.setting.vad = False
                self.audStreamModifyCodecParam(index, parameters)

    def refer(self, target: str) -> None:
        """Ask the other side to call `target` in our place (RFC 3515)."""
        self.xfer(f"<{target}>", pj.CallOpParam(True))

    def refer_to_leg(self, number: int) -> None:
        """Ask the other side to take our place in another call of this worker (RFC 3891)."""
        self.xferReplaces(self.engine.calls[number], pj.CallOpParam(True))

    def bridge(self, number: int) -> None:
        """Let two calls hear one another, on these and later streams."""
        other = self.engine.calls[number]
        self.partner, other.partner = number, self.number
        self.keep_rtp()
        other.keep_rtp()
        self.join()

    def join(self) -> None:
        other = self.engine.calls.get(self.partner)
        if other and self.audio and other.audio:
            self.audio.startTransmit(other.audio)
            other.audio.startTransmit(self.audio)

    def dial(self, digits: str) -> None:
        self.dialDtmf(digits)

    def dial_by_info(self, digit: str) -> None:
        """Send a digit as SIP INFO, application/dtmf-relay."""
        parameters = pj.CallSendDtmfParam()
        parameters.method, parameters.digits = pj.PJSUA_DTMF_METHOD_SIP_INFO, digit
        self.sendDtmf(parameters)

    def received(self) -> int:
        """RTP packets that have arrived."""
        return int(self.getStreamStat(0).rtcp.rxStat.pkt)

    def hold(self) -> None:
        self.setHold(pj.CallOpParam(True))

    def resume(self) -> None:
        parameters = pj.CallOpParam(True)
        parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.reinvite(parameters)

    def end(self) -> None:
        """BYE or CANCEL. A call that was not answered is refused with 503, so that whoever sent it tries
        the next one; the library's own choice, 603, forbids that (RFC 3261 section 21.6)."""
        parameters = pj.CallOpParam(True)
        parameters.statusCode = 503
        self.hangup(parameters)

    def release(self) -> None:
        """The last references to what it used go here, in the main thread."""
        if self.player:
            self.engine.retire(self.player)
        self.hear_no_more()
        self.player = self.recorder = self.audio = None


def disconnect(source: Any, destination: Any) -> None:
    """Stop a transmission; a port that went with its stream needs no stopping."""
    try:
        if source and destination:
            source.stopTransmit(destination)
    except pj.Error as error:
        log.debug("port was gone already", reason=error.reason)
