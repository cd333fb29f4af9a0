/* No IOMMU, until a test makes one. */
#include "mm/iommu_private.h"

struct iommu_backend *const iommu_backends[] = {NULL};
