"""The embedded codec: an embedded quantizer and a recurrent decoder of its intervals."""
