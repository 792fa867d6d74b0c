#include "CPacketCipher.h"

#ifdef __linux__

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TAG = 16, NONCE = 12 };

struct mast_cipher {
    enum mast_cipher_kind kind;
    // Made when they are first needed: a direction's key only seals or only opens.
    EVP_CIPHER_CTX *sealing, *opening;
    uint8_t key[32];
};

static EVP_CIPHER *kinds[3];
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

// Looking a cipher up by its name takes microseconds.
static void fetch(void) {
    kinds[MAST_AES_GCM_128] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    kinds[MAST_AES_GCM_256] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    kinds[MAST_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

struct mast_cipher *mast_cipher_new(enum mast_cipher_kind kind, const uint8_t *key) {
    pthread_once(&fetched, fetch);
    if (kinds[kind] == NULL) return NULL;
    struct mast_cipher *cipher = calloc(1, sizeof *cipher);
    if (cipher == NULL) return NULL;
    cipher->kind = kind;
    memcpy(cipher->key, key, kind == MAST_AES_GCM_128 ? 16 : 32);
    return cipher;
}

void mast_cipher_free(struct mast_cipher *cipher) {
    if (cipher == NULL) return;
    EVP_CIPHER_CTX_free(cipher->sealing);
    EVP_CIPHER_CTX_free(cipher->opening);
    OPENSSL_cleanse(cipher->key, sizeof cipher->key);
    free(cipher);
}

static EVP_CIPHER_CTX *context(struct mast_cipher *cipher, int seals) {
    EVP_CIPHER_CTX **place = seals ? &cipher->sealing : &cipher->opening;
    if (*place != NULL) return *place;
    EVP_CIPHER_CTX *made = EVP_CIPHER_CTX_new();
    if (made == NULL || EVP_CipherInit_ex2(made, kinds[cipher->kind], cipher->key, NULL, seals, NULL) != 1) {
        EVP_CIPHER_CTX_free(made);
        return NULL;
    }
    return *place = made;
}

int mast_cipher_seal(
    struct mast_cipher *cipher, const uint8_t nonce[NONCE], const uint8_t *header, size_t header_bytes, uint8_t *payload, size_t payload_bytes) {
    EVP_CIPHER_CTX *ctx = context(cipher, 1);
    int written;
    return ctx != NULL && header_bytes <= INT_MAX && payload_bytes <= INT_MAX && EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1
        && EVP_EncryptUpdate(ctx, NULL, &written, header, (int)header_bytes) == 1
        && EVP_EncryptUpdate(ctx, payload, &written, payload, (int)payload_bytes) == 1
        && EVP_EncryptFinal_ex(ctx, payload + payload_bytes, &written) == 1
        && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, payload + payload_bytes) == 1;
}

int mast_cipher_open(
    struct mast_cipher *cipher, const uint8_t nonce[NONCE], const uint8_t *header, size_t header_bytes, uint8_t *sealed, size_t sealed_bytes) {
    EVP_CIPHER_CTX *ctx = context(cipher, 0);
    if (ctx == NULL || sealed_bytes < TAG || header_bytes > INT_MAX || sealed_bytes > INT_MAX) return 0;
    size_t payload_bytes = sealed_bytes - TAG;
    int written;
    return EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1
        && EVP_DecryptUpdate(ctx, NULL, &written, header, (int)header_bytes) == 1
        && EVP_DecryptUpdate(ctx, sealed, &written, sealed, (int)payload_bytes) == 1
        && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, sealed + payload_bytes) == 1
        && EVP_DecryptFinal_ex(ctx, sealed + payload_bytes, &written) == 1;
}

#endif
