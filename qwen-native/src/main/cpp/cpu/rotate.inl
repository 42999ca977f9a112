// Rotary embedding of queries and keys in place, then keys and values into the cache.

namespace qw::QW_TARGET::fp {

// `to` may be x itself.
static void rotate_head(const float* x, const float* rotation, int64_t half, float* to) {
#pragma GCC ivdep
  for (int64_t i = 0; i < half; i++) {
    const float a = x[i];
    const float b = x[half + i];
    to[i] = a * rotation[i] - b * rotation[half + i];
    to[half + i] = b * rotation[i] + a * rotation[half + i];
  }
}

// Element i of a rotated head.
QW_LANES float rotated(const float* x, const float* rotation, int64_t half, int64_t i) {
  return i < half ? x[i] * rotation[i] - x[half + i] * rotation[half + i] : x[i] * rotation[i - half] + x[i - half] * rotation[i];
}

// Row `token` of a panel of 16 keys: element e goes to panel[e * 16 + token].
template <class Type>
static void store_key(typename Type::Element* panel, int64_t token, const float* x, int64_t size) {
  for (int64_t e = 0; e < size; e += 16) {
    typename Type::Element values[16];
    Type::write(values, load(x + e));
    for (int64_t i = 0; i < 16; i++) panel[(e + i) * kKeysPerPanel + token] = values[i];
  }
}

template <class Type>
static void store_token(const RotateArgs& args, int64_t slot, const float* keys) {
  using Element = typename Type::Element;
  const KvPages& kv = *args.kv;
  const int64_t size = kv.head_size;
  const int64_t offset = slot % kv.page_tokens;
  uint8_t* page = kv.memory + (args.layer * kv.pages + slot / kv.page_tokens) * kv.page_bytes;
  for (int64_t h = 0; h < kv.kv_heads; h++) {
    Element* panels = reinterpret_cast<Element*>(page + h * kv.key_bytes);
    store_key<Type>(panels + offset / kKeysPerPanel * (kKeysPerPanel * size), offset % kKeysPerPanel, keys + h * size, size);
    Element* values = reinterpret_cast<Element*>(page + kv.kv_heads * kv.key_bytes + h * kv.value_bytes) + offset * size;
    const float* from = keys + (kv.kv_heads + h) * size;
    for (int64_t e = 0; e < size; e += 16) Type::write(values + e, load(from + e));
  }
}

static void store_token_int8(const RotateArgs& args, int64_t slot, const float* keys) {
  const KvPages& kv = *args.kv;
  const int64_t size = kv.head_size;
  const int64_t offset = slot % kv.page_tokens;
  uint8_t* at = kv.memory + (args.layer * kv.pages + slot / kv.page_tokens) * kv.page_bytes;
  for (int64_t h = 0; h < kv.kv_heads; h++, at += kv.key_bytes, keys += size) {
    const uint16_t* centre = reinterpret_cast<const uint16_t*>(at + kv.key_centre);
    uint8_t* panel = at + offset / kKeysPerPanel * (kKeysPerPanel * size) + offset % kKeysPerPanel * 2;
    reinterpret_cast<float*>(at + kv.key_scales)[offset] = store_int8(keys, centre, size, panel, 2 * kKeysPerPanel, 1);
  }
  for (int64_t h = 0; h < kv.kv_heads; h++, at += kv.value_bytes, keys += size) {
    uint8_t* pair = at + offset / 2 * (2 * size) + offset % 2;
    reinterpret_cast<float*>(at + kv.value_scales)[offset] = store_int8(keys, nullptr, size, pair, 4, 2);
  }
}

// The centre of a page: what the bias of keys is after rotation, in the mean of the page's positions.
static void store_centres(const RotateArgs& args) {
  const KvPages& kv = *args.kv;
  const int64_t size = kv.head_size;
  for (int64_t t = args.token_begin; t < args.token_end; t++) {
    const int64_t slot = args.slots[t];
    if (slot % kv.page_tokens != 0) continue;
    uint8_t* page = kv.memory + (args.layer * kv.pages + slot / kv.page_tokens) * kv.page_bytes;
    const float* rotation = args.rotations + t * args.rotation_stride + args.centre;
    for (int64_t h = 0; h < kv.kv_heads; h++, page += kv.key_bytes) {
      uint16_t* centre = reinterpret_cast<uint16_t*>(page + kv.key_centre);
      for (int64_t i = 0; i < size; i += 16) {
        float values[16];
        for (int64_t j = 0; j < 16; j++) values[j] = args.key_bias == nullptr ? 0.f : rotated(args.key_bias + h * size, rotation, size / 2, i + j);
        store_f16(centre + i, load(values));
      }
    }
  }
}

static void rotate_and_store(const RotateArgs& args) {
  const int64_t size = args.kv->head_size;
  const int64_t rotated = args.heads + args.kv->kv_heads;
  const int64_t width = (rotated + args.kv->kv_heads) * size;
  for (int64_t t = args.token_begin; t < args.token_end; t++) {
    float* row = args.qkv + t * width;
    const float* rotation = args.rotations + t * args.rotation_stride + kKeyRotation * size;
    for (int64_t h = args.first_rotated; h < rotated; h++) rotate_head(row + h * size, rotation, size / 2, row + h * size);
    const float* keys = row + args.heads * size;
    switch (args.kv->type) {
      case kKvF32: store_token<F32>(args, args.slots[t], keys); break;
      case kKvF16: store_token<F16>(args, args.slots[t], keys); break;
      case kKvInt8: store_token_int8(args, args.slots[t], keys); break;
      default: store_token<BF16>(args, args.slots[t], keys);
    }
  }
}

}  // namespace qw::QW_TARGET::fp
