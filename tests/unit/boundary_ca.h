/* boundary_ca - a certificate authority that exists for tests, and a server of localhost that it has
 * signed, until 2126. Nobody else trusts either. */
#pragma once

#define BOUNDARY_CA                                                                                \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBqjCCAVGgAwIBAgIUKfptc+d8ihsZbCcKDhV6gWExvugwCgYIKoZIzj0EAwIw\n"                           \
    "IjEgMB4GA1UEAwwXU2FsbHlwb3J0IHRlc3QgYm91bmRhcnkwIBcNMjYxMTI5MTcz\n"                           \
    "OTM3WhgPMjEyNjExMDUxNzM5MzdaMCIxIDAeBgNVBAMMF1NhbGx5cG9ydCB0ZXN0\n"                           \
    "IGJvdW5kYXJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEb/rKsVW5hBvxIx2o\n"                           \
    "RNf5OPfLL6LqNJwBa9h166wkW0irONnFhK2PYhWwVfjG5eXxlD3f4GvVe22853DH\n"                           \
    "QEjz4aNjMGEwHQYDVR0OBBYEFJtIp09nuDgaHw+26UPsJtzAiWUqMB8GA1UdIwQY\n"                           \
    "MBaAFJtIp09nuDgaHw+26UPsJtzAiWUqMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0P\n"                           \
    "AQH/BAQDAgIEMAoGCCqGSM49BAMCA0cAMEQCICnPw6+zw14UnmrfJogbNAA27Imm\n"                           \
    "1vf4x4dq0yjT9K19AiABSROxlSKyRAVKTE+HeWkbPwFk2BUFDiiUTMW0eGNVjQ==\n"                           \
    "-----END CERTIFICATE-----\n"
/* Without the last end of line, as a tool's answer has it. */
#define BOUNDARY_CA_TRIMMED                                                                        \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBqjCCAVGgAwIBAgIUKfptc+d8ihsZbCcKDhV6gWExvugwCgYIKoZIzj0EAwIw\n"                           \
    "IjEgMB4GA1UEAwwXU2FsbHlwb3J0IHRlc3QgYm91bmRhcnkwIBcNMjYxMTI5MTcz\n"                           \
    "OTM3WhgPMjEyNjExMDUxNzM5MzdaMCIxIDAeBgNVBAMMF1NhbGx5cG9ydCB0ZXN0\n"                           \
    "IGJvdW5kYXJ5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEb/rKsVW5hBvxIx2o\n"                           \
    "RNf5OPfLL6LqNJwBa9h166wkW0irONnFhK2PYhWwVfjG5eXxlD3f4GvVe22853DH\n"                           \
    "QEjz4aNjMGEwHQYDVR0OBBYEFJtIp09nuDgaHw+26UPsJtzAiWUqMB8GA1UdIwQY\n"                           \
    "MBaAFJtIp09nuDgaHw+26UPsJtzAiWUqMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0P\n"                           \
    "AQH/BAQDAgIEMAoGCCqGSM49BAMCA0cAMEQCICnPw6+zw14UnmrfJogbNAA27Imm\n"                           \
    "1vf4x4dq0yjT9K19AiABSROxlSKyRAVKTE+HeWkbPwFk2BUFDiiUTMW0eGNVjQ==\n"                           \
    "-----END CERTIFICATE-----"
#define BOUNDARY_CA_HASH "06ad6d0c" /* openssl x509 -hash */

#define BOUNDARY_LEAF                                                                              \
    "-----BEGIN CERTIFICATE-----\n"                                                                \
    "MIIBuDCCAV6gAwIBAgIUZ0pNO1lXFX1FR+7mUf8MtUwNKTkwCgYIKoZIzj0EAwIw\n"                           \
    "IjEgMB4GA1UEAwwXU2FsbHlwb3J0IHRlc3QgYm91bmRhcnkwIBcNMjYxMTI5MTcz\n"                           \
    "OTM3WhgPMjEyNjExMDUxNzM5MzdaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMG\n"                           \
    "ByqGSM49AgEGCCqGSM49AwEHA0IABCEH+7NnQC/XJU+xoVqfrfLgqY44arvBgNy2\n"                           \
    "bdL85J2AvhSCDcNwFJRr6skNF6Bz3lms7RC8dd+hJFN6O/CyvFyjfjB8MBoGA1Ud\n"                           \
    "EQQTMBGCCWxvY2FsaG9zdIcEfwAAATAJBgNVHRMEAjAAMBMGA1UdJQQMMAoGCCsG\n"                           \
    "AQUFBwMBMB0GA1UdDgQWBBRBxVL+QxwQI5au2RxEpM5xoOM3xjAfBgNVHSMEGDAW\n"                           \
    "gBSbSKdPZ7g4Gh8PtulD7CbcwIllKjAKBggqhkjOPQQDAgNIADBFAiBqcW83KZ10\n"                           \
    "XBk1wDFFCsai7SjSJeUliSV6p1TWqDI+wgIhAIrjDlygj5pBpd86mbtgTvrHWIqr\n"                           \
    "InRUiSQTSLP9vlKu\n"                                                                           \
    "-----END CERTIFICATE-----\n"
#define BOUNDARY_LEAF_KEY                                                                          \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrBCA9YlxUwqX0NBj\n"                           \
    "35o8F6++WSOHQRz4R1WbTxA7rGyhRANCAAQhB/uzZ0Av1yVPsaFan63y4KmOOGq7\n"                           \
    "wYDctm3S/OSdgL4Ugg3DcBSUa+rJDRegc95ZrO0QvHXfoSRTejvwsrxc\n"                                   \
    "-----END PRIVATE KEY-----\n"
