"""PL-Marker (Ye et al., ACL 2022): span enumeration with packed levitated markers, in two stages."""
