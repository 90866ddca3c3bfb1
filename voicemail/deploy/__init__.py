"""Texts for the servers in front of a cluster, made from its members: DNS records, a balancer."""
