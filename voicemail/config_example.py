"""The commented configuration file of a node, as `voicemail config example` prints it."""

EXAMPLE = """\
# Tandem: the configuration of one node. Every key may be left out but those of [node].

[node]
name = "vm1"                      # shown in status and logs
address = "192.0.2.11"            # where phones, trunks and the peer reach this node
directory = "/var/lib/voicemail"  # database, spool, certificates, secrets
user = "voicemail"                # whom PostgreSQL runs as, when the node is started by root

[cluster]
port = 5065                       # TCP (TLS): keep-alives, joining; UDP: keep-alives
change_status_automatically = true

[sip]
port = 5060                       # UDP and TCP
pilot = "5000"                    # the number that users dial and PBXs forward to
domain = ""                       # in URIs we make; "" is the address
workers = 16                      # processes that take calls, at most 28
calls_per_worker = 4              # the pjsua2 wheel takes no more than 4
worker_port = 6000                # loopback only; one port a worker, counted upward
rtp_port = 20000                  # 40 UDP ports a worker, counted upward
presence_port = 5061              # loopback only; keeps phones' subscriptions to their lamps
allowed_networks = []             # who may call besides the trunks, e.g. ["192.168.0.0/16"]
balancers = []                    # in front of the edges, e.g. ["192.0.2.20:5060"]; they are believed
                                  # when they say where a call came from
calls_per_second_per_worker = 12
hears_tones = true                # keys as tones in the audio, where telephone events were not agreed on
requests_per_second_per_source = 200

# One block for each PBX. Its addresses may call, and its lamps can be lit.
# [[trunk]]
# name = "pbx"
# addresses = ["192.0.2.5"]
# lamp_uri = "sip:mwi-{extension}@192.0.2.5"    # request URI of the NOTIFY; "" for no lamps
# lamp_headers = { "X-VM-Mailbox" = "{extension}" }
# lamp_body = "full"              # "counts" without urgent ones, "full-lf", "counts-lf" (docs/mwi.md)
# lamp_body_account = "sip:{extension}@192.0.2.5"   # Message-Account line; "" for none
# keep_rtp = false                # true for a PBX that hangs up on calls without RTP
# redirecting = "first"           # forwarded twice: the mailbox of the party called "first" or "last"
# forwarded_by = ["target", "history-info", "diversion"]     # the first that says anything decides
# trust_identity = false          # true: its P-Asserted-Identity proves which user calls

[store]
port = 5432                       # of this node's own PostgreSQL
bindir = ""                       # "" finds a system server >= 16, else the wheel's
dsn = ""                          # one external PostgreSQL instead, e.g. "postgresql://vm@db/vm"; both
                                  # nodes share it, and phones cannot SUBSCRIBE to their lamps then
wait_for_peer = 1.0               # seconds a deposit waits for the peer's disk
keep_for_peer_megabytes = 20000   # of log for a peer that is away; one that missed more copies what it
                                  # lacks when it is back

[mail]
host = ""                         # smart host for notifications; "" sends none
port = 25
tls = false                       # STARTTLS with a certificate that is verified: true, the same as "verify";
                                  # "encrypt" takes any, "opportunistic" needs none; false is "none"
user = ""
password_file = ""
sender = "voicemail@localhost"
message_id_domain = "voicemail.invalid"
timeout = 20.0                    # seconds

[smtp]
port = 0                          # where mails are taken; 0 takes none
address = ""                      # "" is the node's
domains = []                      # ours: 1001@vm.example.com is mailbox 1001, e.g. ["vm.example.com"]
allowed_networks = []             # who may send besides those of locations, e.g. ["192.0.2.25"]; they are
                                  # believed when they say from which user a mail is
users_file = ""                   # who may send after AUTH: lines as `voicemail config mail-password` writes
require_tls = false               # STARTTLS before anything else
certificate = ""                  # PEM files, own certificate first; "" is the node's of the cluster
key = ""
largest_megabytes = 35
connections = 100                 # at once
connections_per_source = 20
mails_per_minute_per_source = 120
mails_per_hour_per_mailbox = 60   # to each mailbox
timeout = 60.0                    # seconds without a line

[notify]
link = ""                         # in mails, where a message can be played:
                                  # "https://vm.example.com/message/{id}"; "" for nowhere
templates = ""                    # a folder with templates of your own for mails; "" for none
call_uri = ""                     # where numbers are called, "sip:{number}@192.0.2.5"; "" calls
                                  # phones that have registered here only
calls_per_hour = 10               # to one user, to tell of messages

[alarm]
mail_to = ""                      # the administrator's mail address; "" sends none

[metrics]
address = "127.0.0.1"             # Prometheus reads http://address:port/metrics
port = 9565                       # 0 for none

[recording]
longest = 300.0                   # seconds
shortest = 1.0
silence = 10.0                    # ends a recording; 0 never does
least_free_megabytes = 200        # with less, callers are told before the tone

[pin]
failures = 3                      # wrong PINs within the window, over both nodes ...
window_minutes = 30
lock_minutes = 30                 # ... lock sign-in for so long
per_source = 20                   # wrong PINs at any mailboxes from one number or host ...
per_trunk = 200                   # ... or from one trunk hold back all from there, for as long
# what PINs have to be like: voicemail pin-rules
"""
