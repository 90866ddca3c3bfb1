"""Voice messages as mails (VPIM v2, RFC 3801-3804): written, read and judged, all pure."""
