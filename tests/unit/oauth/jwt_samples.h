/* jwt_samples - a set of keys and a token by each, made by the npm package jose 6.2; the private halves are gone. */
#pragma once

static const char sample_keys[] =
    "{\"keys\":[{\"kty\":\"EC\",\"x\":\"HQUNSbRU_UwLv7fSPqfFreihS3krwWzkX9m_FsoKaVY\",\"y\":"
    "\"ztOBqS1Bpmca"
    "O13MVCW9zCPEQdiox7b0ifCMNR0YRQA\",\"crv\":\"P-256\",\"kid\":\"es256\",\"use\":\"sig\",\"alg\":"
    "\"ES256\"},"
    "{\"kty\":\"EC\",\"x\":\"_q1aUEITTofi4wIrD2aEK1ViUX_XAZqu3pYX6in_Ax6DXh1dV63zAisaw3AHOnDb\","
    "\"y\":\""
    "URzgmFU91i6pVLkmtkXM7Yo9UCC8CNnA33CM5coihxvaF33sh-2bNDgu6mZ8ff_B\",\"crv\":\"P-384\",\"kid\":"
    "\"e"
    "s384\",\"use\":\"sig\",\"alg\":\"ES384\"},{\"kty\":\"RSA\",\"n\":\"2ZHJFJG6p6KDbhZaGSSQUe_-"
    "d4weCp8r8g8DE"
    "FOPrqXgBSJca34vuFodwfUYoG9h2pEPImXwUCyVpoKmvWqd7XMs8KK80CdMdrKEeC6MADXEVaySHA1b8hbv9iMjN"
    "xZ4USDvXZe1lL5J7gOxHIVb71AgvftH3MrK8EhI8oWkVa-IKjwnsA3sNAzegd1H1yYiiYP8iXU8qW58Zv2ddxpdB"
    "mQ1drtweqNs3jHaIH7xbta7MvMZG_s9KiFdr9qptGJbqImdMwmnxehduvTTCqpgLEpif3VMI8BkLBCTwT9G7mv3c"
    "vqv7iZS07ZwAjQ37IEf1ELIjAh55ToDSwwCkila-Q\",\"e\":\"AQAB\",\"kid\":\"rs256\",\"use\":\"sig\","
    "\"alg\":\"R"
    "S256\"},{\"kty\":\"RSA\",\"n\":\"1V3bi9_"
    "GTw8KbumnERcbrQfJK8d9BBU82WJYRJrfPkOJRcykpYy4inNXcEZveNU"
    "OpYuWoQu6aSnxjDaPevXP3Fe5co3dUao6l6p_ERWOajQkAgWxkWFTtZSYqfUsvHpPnQPTHht5BOsJDLDoBlzleND"
    "Lx8fUwsV2ySb4AiQLfAS5_mdHZp5COhT9WWbb_HkmpGn9R252319Bk0UMNQamsxXZwDTXIM5YQL5AKfhlsN57LU5"
    "N0u3IJvRK2XqB7yEo754VDe-chHqXXGgC2mQ2_-NKWzaZupD6lM1AvAL0lJW_sQSlQZox78rlfgxPe7ZMOAlZ-AZ"
    "mXn3HcV2IRZeKLw\",\"e\":\"AQAB\",\"kid\":\"ps256\",\"use\":\"sig\",\"alg\":\"PS256\"},{"
    "\"crv\":\"Ed25519\",\"x"
    "\":\"Ki-pRWR5XDonaT5ybIo35RgUnWMcstLZHGmE86JWtaA\",\"kty\":\"OKP\",\"kid\":\"eddsa\",\"use\":"
    "\"sig\",\"a"
    "lg\":\"EdDSA\"}]}";
static const char sample_es256[] =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImVzMjU2IiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly93aWtpLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAw"
    "MCwiZXhwIjoxNzAwMDAwMzAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.AJwARy488C9BdvIwyEOUAWvqWo32Xws8m"
    "wIvL0R5_w-id4MfbJ7ylrCldTIMwxGKXyLe6L63ybk2IRuCuzxbFA";
static const char sample_es384[] =
    "eyJhbGciOiJFUzM4NCIsImtpZCI6ImVzMzg0IiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly93aWtpLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAw"
    "MCwiZXhwIjoxNzAwMDAwMzAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.S_rzs_Xb4bnn06icLFZwwBEDmXCq4jcnH"
    "NgV9TBAA3g2J_3uInEUo4SqM0l8KuoNUkk1HtYbWl_PeLol_80ESAGaCA8fTpqCoX_p5el_GZuCW3hTXx2OTjc5i"
    "rhtzatO";
static const char sample_rs256[] =
    "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzMjU2IiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly93aWtpLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAw"
    "MCwiZXhwIjoxNzAwMDAwMzAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.WB0lmhBswL6wyTjU1wBWhXpVPeRe6l-Je"
    "KINBBPrtioA1kVgPPeJONJO-C9FrUUEPig3WKJKEWOSe2xIXtGMvFgOzIfgF7pFlwfrBysLbB2K0YjD19oi3ITTr"
    "J0VDTIT-PB9T7dJpI7x1mPzDb32FR4e_KCtQ9rcYHiGvmgst3clepnMNQhfEQy1U5WYucqSC2RpUT302Ebw_b_LN"
    "uOcCHof7nFaQ_24rf2-upT_oOw7LFee2jd_1g_nzTMhQxD_ffFQdrVP8vQOq1hYzhhM-c3wcDjJex3ixfVo0jMtM"
    "Ilvys2LanTjy9yiIrP-Es397U-plDWeTV7uiIdUDqx5eQ";
static const char sample_ps256[] =
    "eyJhbGciOiJQUzI1NiIsImtpZCI6InBzMjU2IiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly93aWtpLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAw"
    "MCwiZXhwIjoxNzAwMDAwMzAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.Mho73tIx3R00Dt_9EgaEMlKIXMjPdD3SJ"
    "3zTUkde_9sAHr9uEd7miEnEO6r59EpGJVR3bW3CaJxgMqWlfOUP2JLfFR1HpCkBgsALhyIF9Ro_fw8ZzKfOXIgCl"
    "r3JtcDilqlgFAVHgIs1wY4NkzJvHVrjnEz3vVIB48sKaKKZ5gdqLWOnBCuSEJUGtHssiLq4JG_yHzfb7gj92AstJ"
    "1JtcR9MJ2x1EK3wKHteSC42PDkBb0jiCO-2AYoFTNN1Ht3Xcy3Re26xobS9hQfPsyjKLVfbnTihmIMptjOkMp7Dq"
    "5OB_yL2azg_vNokgY0aJr9SjrXlNswAc9FUuq-xrSedeg";
static const char sample_eddsa[] =
    "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkZHNhIiwidHlwIjoiYXQrand0In0.eyJpc3MiOiJodHRwczovL2lkcC5l"
    "eGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly93aWtpLmV4YW1wbGUiLCJzdWIiOiJhbGljZSIsImlhdCI6MTcwMDAwMDAw"
    "MCwiZXhwIjoxNzAwMDAwMzAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.fIMMKObhfBJFAyQLSXbcr9xqoyYomutTr"
    "RHoqlFdFesiHGax9gLSX3-YswM_0Do7UnP1X6P9E1zv1OwIsWQ8DA";
static const char sample_small[] = /* RSA of 1024 bits */
    "{\"kty\":\"RSA\",\"n\":\"n2Padgq1Jt2saTmGjQZDFs90dpksvwNz6AblpVbM0aBGwqsuekHM6TWLd5_v__1_"
    "sWECJj"
    "5WMb6uadqEYwpHuVh44T378_HUdhZF7sTnYRZ3kS0_rRNc-wBsr06RjlNq7bTthtZBQ7oxzd50shlDWKiS5G7WiK"
    "qr4_1AnRnJCwk\",\"e\":\"AQAB\"}";
static const char sample_p521[] =
    "{\"kty\":\"EC\",\"x\":\"AWx00xTvVrXOopKy43OtKIA_y_FcY93ZbY3BhSRcmUGSocT6rmMhNOq4NsC7fdjLt_"
    "WXcaY"
    "2XrZhSV7j2XNUO1h5\",\"y\":\"AWTgMWk0crqRE_x7X7hTPoKNWIdCAASne6EvPl6uyV13GyNkDph1mgpTTteiKAcD"
    "V9hEYyiCDmgavnRnDKUcpk9q\",\"crv\":\"P-521\"}";
