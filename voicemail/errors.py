"""What a person at the command line is told."""


class VoicemailError(Exception):
    """Base of this package. Its text is shown as it is: it names what is wrong and where."""

    retry = False


class ConfigError(VoicemailError):
    """The configuration file cannot be used; names the key and the line."""


class ClusterError(VoicemailError):
    """Nodes could not be made one cluster, or refuse one another."""


class RoleRefused(ClusterError):
    """What an operator asked does not go with the node's status; says what to do instead."""


class NodeUnreachable(VoicemailError):
    """The node on this machine does not answer on its control socket."""

    retry = True
