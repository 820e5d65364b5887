// MLX 0.32.2 takes `force_fused` before the stream, which the delegate's sources do not give.
#pragma once

#include <mlx/fast.h>

namespace mlx::core::fast {

inline array scaled_dot_product_attention(
    const array& queries, const array& keys, const array& values, float scale,
    const std::string& mode, std::optional<array> mask, const std::optional<array>& sinks,
    StreamOrDevice stream) {
  return scaled_dot_product_attention(
      queries, keys, values, scale, mode, mask, sinks, false, stream);
}

}  // namespace mlx::core::fast
