#!/usr/bin/env python3
"""Makes authority_certs.h: certificates for test_authority.c, one for each rule, good and broken.

Usage: tests/unit/crypto/authority_certs.py >tests/unit/crypto/authority_certs.h

It was run once; the keys are thrown away. Certificates are written byte by byte, since openssl makes
few that are wrong, and signed by the openssl program. "Fabricated" keys belong to nobody: a certificate
whose issuer is another one needs none.
"""
import atexit
import base64
import hashlib
import os
import shutil
import subprocess
import tempfile

DIR = tempfile.mkdtemp()
atexit.register(shutil.rmtree, DIR)


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, check=True, cwd=DIR, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE).stdout


# ---- DER ----

def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 128:
        return bytes([tag, n]) + body
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def seq(*parts):
    return tlv(0x30, *parts)


def num(n):
    return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def oid(text):
    arcs = [int(a) for a in text.split(".")]
    arcs[:2] = [arcs[0] * 40 + arcs[1]]
    out = b""
    for a in arcs:
        part = bytes([a & 127])
        while a := a >> 7:
            part = bytes([a & 127 | 128]) + part
        out += part
    return tlv(6, out)


def bits(data, unused=0):
    return tlv(3, bytes([unused]), data)


def name(text):
    return seq(tlv(0x31, seq(oid("2.5.4.3"), tlv(12, text.encode())))) if text else seq()


def date(text):
    return tlv(24 if len(text) == 15 else 23, text.encode())


NULL = tlv(5)
TRUE = tlv(1, b"\xff")

# ---- keys ----

KEYS = {
    "p256": ["EC", "ec_paramgen_curve:P-256"],
    "other": ["EC", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "ec_paramgen_curve:P-521"],
    "k1": ["EC", "ec_paramgen_curve:secp256k1"],
    "explicit": ["EC", "ec_paramgen_curve:P-256", "ec_param_enc:explicit"],
    "rsa": ["RSA", "rsa_keygen_bits:2048"],
    "rsa_other": ["RSA", "rsa_keygen_bits:2048"],
    "rsa1024": ["RSA", "rsa_keygen_bits:1024"],
    "pss": ["RSA-PSS", "rsa_keygen_bits:2048"],
    "ed25519": ["ED25519"],
    "ed448": ["ED448"],
}
SPKI = {}
for key, (algorithm, *options) in KEYS.items():
    args = [a for o in options for a in ("-pkeyopt", o)]
    openssl("genpkey", "-algorithm", algorithm, *args, "-out", key)
    SPKI[key] = openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
openssl("dsaparam", "-out", "dsa_parameters", "1024")
openssl("gendsa", "-out", "dsa", "dsa_parameters")
SPKI["dsa"] = openssl("pkey", "-in", "dsa", "-pubout", "-outform", "DER")
POINT = SPKI["p256"][-65:]
EC, P256 = oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")


def ec(point, *curve):
    return seq(seq(EC, *curve), bits(point))


def rsa(modulus, exponent=65537, parameter=NULL):
    return seq(seq(oid("1.2.840.113549.1.1.1"), parameter), bits(seq(num(modulus), num(exponent))))


def odd(n_bits):
    return int.from_bytes(os.urandom(n_bits // 8 + 1), "big") % 2 ** (n_bits - 1) | 2 ** (n_bits - 1) | 1


# ---- signature algorithms: identifier, how openssl signs so ----

RSA, ECDSA, HASH = "1.2.840.113549.1.1.", "1.2.840.10045.4.", "2.16.840.1.101.3.4.2."


def rsa_with(n):
    return seq(oid(RSA + str(n)), NULL)


def hash_id(text):
    return seq(oid(text), NULL)


def pss(*fields):
    return seq(oid(RSA + "10"), seq(*fields))


def pss_of(text, n_bytes, mask=None):
    return pss(tlv(0xa0, hash_id(text)), tlv(0xa1, seq(oid(RSA + "8"), hash_id(mask or text))), tlv(0xa2, num(n_bytes)))


def pss_sign(md):
    return ["-" + md, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]


ES256, ES384, ES512 = (seq(oid(f"{ECDSA}3.{n}")) for n in (2, 3, 4))

# ---- extensions ----

CONSTRAINTS, USAGE, KEY_ID = "2.5.29.19", "2.5.29.15", "2.5.29.14"


def ext(which, value, critical=False):
    return seq(oid(which), TRUE if critical else b"", tlv(4, value))


BC = ext(CONSTRAINTS, seq(TRUE), True)
KU = ext(USAGE, bits(b"\x06", 1), True)
SKI = ext(KEY_ID, tlv(4, bytes(range(20))))


def cert(key="p256", spki=None, signer=None, algorithm=ES256, inner=None, how=("-sha256",), version=2, extensions=(BC, KU, SKI),
         issuer="ca", subject="ca", begins="260101000000Z", ends="360101000000Z", damage=False, fake=False, garbage=False):
    """`fake`: another issuer, whose signature is of no consequence."""
    tbs = seq(tlv(0xa0, num(version)) if version else b"", num(1), inner or algorithm, name("root" if fake else issuer),
              seq(date(begins), date(ends)), name(subject), spki or SPKI[key],
              tlv(0xa3, seq(*extensions)) if extensions else b"")
    signature = bytes(8) if fake or garbage else openssl("dgst", *how, "-sign", signer or key, data=tbs)
    if damage:
        signature = signature[:-1] + bytes([signature[-1] ^ 1])
    return seq(tbs, algorithm, bits(signature))


def with_ext(*extensions):
    return cert(extensions=(BC, KU, SKI, *extensions))


def with_key(spki):
    return cert(spki=spki, fake=True)


def signed_as(algorithm):
    return cert(algorithm=algorithm, fake=True)


OPENSSL = openssl("req", "-x509", "-key", "p256", "-subj", "/O=Example/CN=Tunnel CA", "-days", "3650", "-addext",
                  "keyUsage=critical,keyCertSign,cRLSign", "-outform", "DER")
GOOD = cert()
CERTS = {
    # accepted
    "OPENSSL": OPENSSL,
    "P256": GOOD,
    "P384": cert("p384", algorithm=ES384, how=["-sha384"]),
    "P521": cert("p521", algorithm=ES512, how=["-sha512"]),
    "COMPRESSED": cert(spki=ec(bytes([2 + (POINT[-1] & 1)]) + POINT[1:33], P256)),
    "RSA": cert("rsa", algorithm=rsa_with(11)),
    "RSA_SHA384": cert("rsa", algorithm=rsa_with(12), how=["-sha384"]),
    "RSA_SHA512": cert("rsa", algorithm=rsa_with(13), how=["-sha512"]),
    "PSS": cert("rsa", algorithm=pss_of(HASH + "1", 32), how=pss_sign("sha256")),
    "PSS_SHA384": cert("rsa", algorithm=pss_of(HASH + "2", 48), how=pss_sign("sha384")),
    "PSS_SHA512": cert("rsa", algorithm=pss_of(HASH + "3", 64), how=pss_sign("sha512")),
    "RSA_LONGEST": with_key(rsa(odd(16384))),
    "INTERMEDIATE": cert(issuer="root", signer="other"),
    "LATER": cert(begins="300101000000Z"),
    "NEVER_ENDS": cert(ends="99991231235959Z"),
    "ENDS_LATE": cert(ends="21000228235959Z"),
    "PATH_LENGTH": cert(extensions=(ext(CONSTRAINTS, seq(TRUE, num(0)), True), KU, SKI)),
    "NAME_CONSTRAINTS": with_ext(ext("2.5.29.30", seq(tlv(0xa0, seq(tlv(0x82, b"a.example")))), True)),
    "KEY_ID_LONGEST": cert(extensions=(BC, KU, ext(KEY_ID, tlv(4, bytes(64))))),
    "UNKNOWN_EXTENSION": with_ext(ext("1.3.6.1.4.1.99999.7", NULL)),
    # DER
    "NOT_DER": b"\x30\x03\x02\x01",
    "BEHIND": GOOD + b"\0\0\0",
    "INDEFINITE": b"\x30\x80" + GOOD[4:] + b"\0\0",
    "LONG_LENGTH": b"\x30\x83\0" + GOOD[2:],
    "OTHER_DER": seq(seq(num(1), num(2))),
    # versions and extensions
    "VERSION_1": cert(version=0, extensions=()),
    "VERSION_2": cert(version=1, extensions=()),
    "VERSION_4": cert(version=3),
    "VERSION_LARGEST": cert(version=2 ** 63 - 1),
    "BC_ABSENT": cert(extensions=(KU, SKI)),
    "BC_TWICE": with_ext(BC),
    "BC_LEAF": cert(extensions=(ext(CONSTRAINTS, seq(), True), KU, SKI)),
    "BC_FALSE": cert(extensions=(ext(CONSTRAINTS, seq(tlv(1, b"\0")), True), KU, SKI)),
    "BC_NOT_CRITICAL": cert(extensions=(ext(CONSTRAINTS, seq(TRUE)), KU, SKI)),
    "BC_NOT_DER": cert(extensions=(ext(CONSTRAINTS, seq(tlv(1, b"\1")), True), KU, SKI)),
    "BC_LONGER": cert(extensions=(ext(CONSTRAINTS, seq(TRUE, num(1), num(2)), True), KU, SKI)),
    "BC_NEGATIVE": cert(extensions=(ext(CONSTRAINTS, seq(TRUE, tlv(2, b"\xff")), True), KU, SKI)),
    "BC_NO_SEQUENCE": cert(extensions=(ext(CONSTRAINTS, tlv(0x31, TRUE), True), KU, SKI)),
    "KU_ABSENT": cert(extensions=(BC, SKI)),
    "KU_OTHERS": cert(extensions=(BC, ext(USAGE, bits(b"\x82", 1), True), SKI)),
    "KU_ALL_OTHERS": cert(extensions=(BC, ext(USAGE, bits(b"\xfb"), True), SKI)),
    "KU_EMPTY": cert(extensions=(BC, ext(USAGE, bits(b""), True), SKI)),
    "KU_MALFORMED": cert(extensions=(BC, ext(USAGE, tlv(4, b"\1\6"), True), SKI)),
    "KU_NOTHING": cert(extensions=(BC, ext(USAGE, tlv(3), True), SKI)),
    "KU_BEHIND": cert(extensions=(BC, ext(USAGE, bits(b"\x06", 1) + NULL, True), SKI)),
    "KU_UNUSED": cert(extensions=(BC, ext(USAGE, bits(b"\x06", 8), True), SKI)),
    "KU_LONG": cert(extensions=(BC, ext(USAGE, bits(b"\x06\0\1"), True), SKI)),
    "SKI_ABSENT": cert(extensions=(BC, KU)),
    "SKI_EMPTY": cert(extensions=(BC, KU, ext(KEY_ID, tlv(4)))),
    "SKI_LONG": cert(extensions=(BC, KU, ext(KEY_ID, tlv(4, bytes(65))))),
    "SKI_MALFORMED": cert(extensions=(BC, KU, ext(KEY_ID, tlv(3, bytes(20))))),
    "SKI_BEHIND": cert(extensions=(BC, KU, ext(KEY_ID, tlv(4, bytes(20)) + NULL))),
    "SKI_CRITICAL": cert(extensions=(BC, KU, ext(KEY_ID, tlv(4, bytes(20)), True))),
    "CRITICAL_UNKNOWN": with_ext(ext("1.3.6.1.4.1.99999.7", NULL, True)),
    "CRITICAL_LONG_OID": with_ext(ext("1.3." + ".".join(["9999999999999"] * 9), NULL, True)),
    "UNKNOWN_TWICE": with_ext(ext("1.3.6.1.4.1.99999.7", NULL), ext("1.3.6.1.4.1.99999.7", NULL)),
    "NAMES_MALFORMED": with_ext(ext("2.5.29.17", seq(NULL))),
    "NAMES_BEHIND": with_ext(ext("2.5.29.17", seq(tlv(0x82, b"a.example")) + NULL)),
    "PROXY": with_ext(ext("1.3.6.1.5.5.7.1.14", seq(seq(oid("1.3.6.1.5.5.7.21.1"))), True)),
    # keys
    "RSA_1024": cert("rsa1024", algorithm=rsa_with(11)),
    "RSA_2047": with_key(rsa(odd(2047))),
    "RSA_16385": with_key(rsa(odd(16385))),
    "RSA_EXPONENT_1": with_key(rsa(odd(2048), 1)),
    "RSA_EXPONENT_EVEN": with_key(rsa(odd(2048), 65536)),
    "RSA_EXPONENT_LONG": with_key(rsa(odd(2048), 2 ** 64 + 1)),
    "RSA_EVEN": with_key(rsa(odd(2048) - 1)),
    "RSA_NEGATIVE": with_key(seq(seq(oid(RSA + "1"), NULL), bits(seq(tlv(2, b"\x81" + bytes(254) + b"\1"), num(65537))))),
    "RSA_EXPONENT_NEGATIVE": with_key(seq(seq(oid(RSA + "1"), NULL), bits(seq(num(odd(2048)), tlv(2, b"\x81"))))),
    "RSA_NO_NULL": with_key(rsa(odd(2048), parameter=b"")),
    "RSA_LONGER": with_key(seq(seq(oid(RSA + "1"), NULL), bits(seq(num(odd(2048)), num(65537), num(1))))),
    "RSA_BEHIND": with_key(seq(seq(oid(RSA + "1"), NULL), bits(seq(num(odd(2048)), num(65537)) + NULL))),
    "ED25519": with_key(SPKI["ed25519"]),
    "ED448": with_key(SPKI["ed448"]),
    "DSA": with_key(SPKI["dsa"]),
    "PSS_KEY": with_key(SPKI["pss"]),
    "KEY_UNKNOWN": with_key(seq(seq(oid("1.3.6.1.4.1.99999.8")), bits(bytes(32)))),
    "CURVE_K1": with_key(SPKI["k1"]),
    "CURVE_EXPLICIT": with_key(SPKI["explicit"]),
    "CURVE_ABSENT": with_key(ec(POINT)),
    "CURVE_UNKNOWN": with_key(ec(POINT, oid("1.3.6.1.4.1.99999.9"))),
    "POINT_OFF": with_key(ec(POINT[:-1] + bytes([POINT[-1] ^ 1]), P256)),
    "POINT_SHORT": with_key(ec(POINT[:-1], P256)),
    "POINT_HYBRID": with_key(ec(bytes([6 + (POINT[-1] & 1)]) + POINT[1:], P256)),
    "POINT_INFINITE": with_key(ec(b"\0", P256)),
    "POINT_EMPTY": with_key(ec(b"", P256)),
    # signatures
    "SHA1": cert("rsa", algorithm=rsa_with(5), how=["-sha1"]),
    "MD5": cert("rsa", algorithm=rsa_with(4), how=["-md5"]),
    "SHA224": cert("rsa", algorithm=rsa_with(14), how=["-sha224"]),
    "EC_SHA1": cert(algorithm=seq(oid(ECDSA + "1")), how=["-sha1"]),
    "EC_SHA224": cert(algorithm=seq(oid(ECDSA + "3.1")), how=["-sha224"]),
    "BY_ED25519": signed_as(seq(oid("1.3.101.112"))),
    "BY_UNKNOWN": signed_as(seq(oid("1.3.6.1.4.1.99999.10"))),
    "PSS_SHA1": signed_as(pss()),
    "PSS_SHA224": signed_as(pss_of(HASH + "4", 28)),
    "PSS_MD5": signed_as(pss_of("1.2.840.113549.2.5", 16)),
    "PSS_SHA3": signed_as(pss_of(HASH + "8", 32)),
    "PSS_MASK_ABSENT": signed_as(pss(tlv(0xa0, hash_id(HASH + "1")))),
    "PSS_MASK_SHA1": signed_as(pss_of(HASH + "1", 32, "1.3.14.3.2.26")),
    "PSS_MASK_OTHER": signed_as(pss(tlv(0xa0, hash_id(HASH + "1")), tlv(0xa1, seq(oid(RSA + "9"), hash_id(HASH + "1"))))),
    "PSS_MALFORMED": signed_as(pss(tlv(0xa0, NULL))),
    "PSS_NO_PARAMETERS": signed_as(seq(oid(RSA + "10"))),
    "TWO_ALGORITHMS": cert(inner=ES384),
    "DAMAGED": cert(damage=True),
    "RSA_DAMAGED": cert("rsa", algorithm=rsa_with(11), damage=True),
    "PSS_DAMAGED": cert("rsa", algorithm=pss_of(HASH + "1", 32), how=pss_sign("sha256"), damage=True),
    "BY_ANOTHER": cert(signer="other"),
    "RSA_BY_ANOTHER": cert("rsa", signer="rsa_other", algorithm=rsa_with(11)),
    "GARBAGE": cert(garbage=True),
    "RSA_GARBAGE": cert("rsa", algorithm=rsa_with(11), garbage=True),
    "OTHER_KIND": cert(signer="rsa", algorithm=rsa_with(11)),
    # dates
    "EXPIRED": cert(begins="200101000000Z", ends="210101000000Z"),
    "BACKWARDS": cert(begins="330101000000Z", ends="320101000000Z"),
    "DATE_OFFSET": cert(ends="360101000000+0100"),
    "DATE_LONG": cert(ends="360101000000ZZ"),
    "DATE_SHORT": cert(ends="3601010000Z"),
    "DATE_NO_DAY": cert(ends="360230000000Z"),
    "DATE_LEAP": cert(ends="351231235960Z"),
    "DATE_LOWER": cert(ends="360101000000z"),
    "DATE_BEFORE_1970": cert(begins="650101000000Z"),
}

print(f"""/* authority_certs - certificates for test_authority.c, and the SHA-256 of some. Made by
 * authority_certs.py beside this file; nobody has their keys. */
#pragma once

/* clang-format off */
#define CERT_TEXT(body) "-----BEGIN CERTIFICATE-----\\n" body "-----END CERTIFICATE-----\\n"
""".rstrip())
for key, der in CERTS.items():
    text = base64.b64encode(der).decode()
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    pairs = ["    " + " ".join(f'"{line}\\n"' for line in lines[at:at + 2]) for at in range(0, len(lines), 2)]
    print(f"#define CERT_{key} CERT_TEXT( \\\n" + " \\\n".join(pairs) + ")")
    if key in ("OPENSSL", "P256", "RSA", "NEVER_ENDS"):
        print(f"#define CERT_{key}_SHA256 \"{hashlib.sha256(der).hexdigest()}\"")
print("/* clang-format on */")
