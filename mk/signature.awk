# Turns a modulus of 3072 bits in hexadecimal digits into kernel/signature.h's tables: words of 64 bits, the lowest first.
function table(name, digits) {
	print "const uint64_t " name "[SIGNATURE_WORDS] = {"
	for (at = length(digits) - 15; at > 0; at -= 16)
		print "\t0x" substr(digits, at, 16) ","
	print "};"
}
{
	hash = sprintf("%064d", 0)
	kind = "3031300d060960864801650304020805000420" # DigestInfo of SHA3-256, RFC 8017, appendix B.1
	while (length(filler) < length($0) - 6 - length(kind) - length(hash))
		filler = filler "ff"
	print "#include \"kernel/signature.h\"\n"
	table("signature_key", $0)
	table("signature_padding", "0001" filler "00" kind hash)
}
